/* A bare socket client for tests: sends exactly the bytes given and reads what comes, so that
 * malformed, slow and pipelined requests can be made. Blocking, with a receive timeout of 10 s. */
#ifndef TN_TESTS_RAW_HTTP_H
#define TN_TESTS_RAW_HTTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int raw_connect(const char *address)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    struct timeval limit = {.tv_sec = 10};
    addr.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* False: the peer closed. */
static inline bool raw_send(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool raw_text(int fd, const char *text)
{
    return raw_send(fd, text, strlen(text));
}

/* Reads until the peer closes, `want` is seen, or the buffer is full; NUL-terminates. */
static inline size_t raw_read_until(int fd, const char *want, char *to, size_t size)
{
    size_t len = 0;
    to[0] = 0;
    while (len + 1 < size) {
        ssize_t n = recv(fd, to + len, size - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        to[len] = 0;
        if (want && strstr(to, want))
            break;
    }
    return len;
}

/* Status of one request sent as given; 0 = closed without an answer. The answer stays in `to`. */
static inline int raw_request(const char *address, const char *bytes, size_t len, char *to,
                              size_t size)
{
    int fd = raw_connect(address);
    if (fd < 0)
        return -1;
    (void)raw_send(fd, bytes, len);
    (void)raw_read_until(fd, "\r\n\r\n", to, size);
    close(fd);
    return strncmp(to, "HTTP/1.1 ", 9) == 0 ? atoi(to + 9) : 0;
}

#endif
