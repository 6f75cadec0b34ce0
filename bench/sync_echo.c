/* The floor that the sync's parent is measured beside: receive datagrams and answer each, with no work.
 * usage: sync_echo ANSWER_BYTES; prints its port on 127.0.0.1, ends when it is killed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BATCH 64
#define MOST_BYTES 1500

static char in[BATCH][MOST_BYTES], out[BATCH][MOST_BYTES];
static struct sockaddr_in from[BATCH];
static struct iovec received[BATCH], answers[BATCH];
static struct mmsghdr in_messages[BATCH], out_messages[BATCH];

int main(int argc, char **argv)
{
    int buffer_bytes = 32 << 20, answer_bytes = argc > 1 ? atoi(argv[1]) : 64;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    if (fd < 0 || answer_bytes > MOST_BYTES || bind(fd, (void *)&here, length)
        || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes)
        || getsockname(fd, (void *)&here, &length)) {
        perror("sync_echo");
        return 1;
    }
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (int i = 0; i < BATCH; i++) {
        received[i] = (struct iovec){in[i], MOST_BYTES};
        answers[i] = (struct iovec){out[i], answer_bytes};
        in_messages[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &received[i], .msg_iovlen = 1};
        out_messages[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &answers[i], .msg_iovlen = 1};
    }
    for (;;) {
        int count = recvmmsg(fd, in_messages, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0)
            return 1;
        for (int done = 0, sent; done < count; done += sent)
            if ((sent = sendmmsg(fd, out_messages + done, count - done, 0)) <= 0)
                break;
    }
}
