/*
 * Sends each datagram back as a reply: what recvmmsg and sendmmsg cost, and so
 * the least that a DNS server can cost. Usage: echo PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, SIZE = 1232 };

int main(int argc, char **argv)
{
	static char buffers[BATCH][SIZE];
	static struct sockaddr_in names[BATCH];
	static struct iovec parts[BATCH];
	static struct mmsghdr messages[BATCH];
	struct sockaddr_in address = { .sin_family = AF_INET };
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc != 2)
		return 2;
	address.sin_port = htons(atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (s < 0 || bind(s, (struct sockaddr *)&address, sizeof address) < 0) {
		perror("bind");
		return 1;
	}
	for (;;) {
		int i, n, sent = 0;

		for (i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ buffers[i], SIZE };
			messages[i].msg_hdr = (struct msghdr){
				.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &parts[i], .msg_iovlen = 1,
			};
		}
		n = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
		for (i = 0; i < n; i++) {
			buffers[i][2] |= 0x80;
			parts[i].iov_len = messages[i].msg_len;
		}
		while (sent < n) {
			i = sendmmsg(s, messages + sent, n - sent, 0);
			sent += i > 0 ? i : 1;
		}
	}
}
