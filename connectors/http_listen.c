/* The listening socket: parse HOST:PORT, bind, listen, name the real port. Our own socket instead
 * of MHD's, so that "port in use" is a clear error before anything else starts. @thread the opener
 */
#include "connectors/http_int.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_MAX 100

/* "127.0.0.1:80", "[::1]:80", "localhost:0" → host and service. */
static enum tn_status listen_split(const char *listen, char host[HOST_MAX], const char **ret_port,
                                   struct tn_err *err)
{
    const char *colon = listen ? strrchr(listen, ':') : NULL;
    if (!colon || colon[1] == 0 || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || (size_t)(colon - listen) >= HOST_MAX || colon == listen) {
        enum tn_status st = tn_err_set(
            err, TN_E_INVALID, "cannot listen on '%s': HOST:PORT expected", listen ? listen : "");
        tn_err_hint(err, "for example 127.0.0.1:8090 or [::1]:8090; port 0 takes a free one");
        return st;
    }
    size_t len = (size_t)(colon - listen);
    if (listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    } else if (memchr(listen, ':', len)) {
        return tn_err_set(err, TN_E_INVALID, "cannot listen on '%s': put an IPv6 address in [ ]",
                          listen);
    }
    memcpy(host, listen, len);
    host[len] = 0;
    *ret_port = colon + 1;
    return TN_OK;
}

static enum tn_status listen_error(const char *listen, int error, struct tn_err *err)
{
    enum tn_status code = error == EADDRINUSE ? TN_E_BUSY : error == EACCES ? TN_E_DENIED : TN_E_IO;
    enum tn_status st =
        tn_err_set(err, code, "cannot listen on %s: %s", listen,
                   error == EADDRINUSE ? "the port is in use by another process" : strerror(error));
    if (error == EADDRINUSE)
        tn_err_hint(err, "choose another port with --listen, or end the process that has it");
    return st;
}

static int listen_socket(const struct addrinfo *info, int *ret_errno)
{
    int one = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        *ret_errno = errno;
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    *ret_errno = errno;
    close(fd);
    return -1;
}

/* "host:port" as the client would write it. */
static void listen_name(struct tn_http_server *server, const char *host)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    int port = 0;
    memset(&addr, 0, sizeof addr);
    if (getsockname(server->listen_fd, (struct sockaddr *)&addr, &len) == 0)
        port = addr.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&addr)->sin6_port)
                                          : ntohs(((struct sockaddr_in *)(void *)&addr)->sin_port);
    snprintf(server->address, sizeof server->address, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
             port);
}

enum tn_status tni_http_listen(struct tn_http_server *server, struct tn_err *err)
{
    char host[HOST_MAX];
    const char *port = NULL;
    const char *listen_text = server->config.listen;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *infos = NULL;
    int error = 0;
    TN_TRY(listen_split(listen_text, host, &port, err));
    if (strtol(port, NULL, 10) > 65535)
        return tn_err_set(err, TN_E_INVALID, "cannot listen on '%s': the port is above 65535",
                          listen_text);
    int code = getaddrinfo(host, port, &hints, &infos);
    if (code != 0)
        return tn_err_set(err, TN_E_INVALID, "cannot listen on '%s': %s", listen_text,
                          gai_strerror(code));
    for (struct addrinfo *info = infos; info && server->listen_fd < 0; info = info->ai_next)
        server->listen_fd = listen_socket(info, &error);
    freeaddrinfo(infos);
    if (server->listen_fd < 0)
        return listen_error(listen_text, error, err);
    listen_name(server, host);
    return TN_OK;
}
