package challenge

import "net/http"

// serveFile answers the CA's question for a file. The token in the path is
// random: whichever host is asked for, it means one challenge.
func (s *ListenSolver) serveFile(w http.ResponseWriter, r *http.Request) {
	record, ok := s.at(r.URL.Path)
	s.logger.DebugContext(r.Context(), "asked for a validation file", "host", r.Host, "path", r.URL.Path, "from", r.RemoteAddr, "known", ok)
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream") // RFC 8555 §8.3
	_, _ = w.Write([]byte(record.Value))                       // a client that went away is the CA's business
}
