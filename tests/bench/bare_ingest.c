/* The reference of the benchmark `ingest`: what any server on libmicrohttpd does at least to answer
 * a POST only when its body is durable. Two epoll threads as tarn's default; a body is copied into
 * a queue and its connection suspended; one thread takes all that is queued, appends it to one file
 * with one write and one fdatasync, and resumes the connections. No checks, no keys, no partitions,
 * no offsets.
 *
 * Usage: bare_ingest FILE; prints "ready http://127.0.0.1:PORT", ends at SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX 4096

struct request {
    struct MHD_Connection *connection;
    struct request *next;
    size_t len;
    bool is_durable;
    char body[BODY_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static struct request *first, *last;
static bool is_over;
static int file;

static void *writer_main(void *arg)
{
    char *bytes = arg;
    pthread_mutex_lock(&lock);
    while (true) {
        while (!first && !is_over)
            pthread_cond_wait(&news, &lock);
        struct request *group = first;
        first = last = NULL;
        if (!group)
            break;
        pthread_mutex_unlock(&lock);
        size_t len = 0;
        for (struct request *r = group; r; r = r->next) {
            memcpy(bytes + len, &r->len, sizeof r->len);
            memcpy(bytes + len + sizeof r->len, r->body, r->len);
            len += sizeof r->len + r->len;
        }
        if (write(file, bytes, len) != (ssize_t)len || fdatasync(file) != 0)
            abort();
        for (struct request *r = group, *next; r; r = next) {
            next = r->next;
            r->is_durable = true;
            MHD_resume_connection(r->connection);
        }
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static enum MHD_Result answer(struct MHD_Connection *connection)
{
    static char text[] = "{\"accepted\":1}\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result ret = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return ret;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **con_cls)
{
    struct request *request = *con_cls;
    (void)cls;
    (void)url;
    (void)method;
    (void)version;
    if (!request) {
        request = malloc(sizeof *request);
        *request = (struct request){.connection = connection};
        *con_cls = request;
        return MHD_YES;
    }
    if (*upload_len) {
        if (request->len + *upload_len > BODY_MAX)
            return MHD_NO;
        memcpy(request->body + request->len, upload, *upload_len);
        request->len += *upload_len;
        *upload_len = 0;
        return MHD_YES;
    }
    if (request->is_durable)
        return answer(connection);
    MHD_suspend_connection(connection);
    pthread_mutex_lock(&lock);
    if (last)
        last->next = request;
    else
        first = request;
    last = request;
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
    return MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)connection;
    (void)code;
    free(*con_cls);
    *con_cls = NULL;
}

static int listen_any(uint16_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return -1;
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    uint16_t port = 0;
    pthread_t writer;
    sigset_t signals;
    int number;
    char *bytes = malloc((BODY_MAX + sizeof(size_t)) * 4096);
    if (argc != 2)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int fd = listen_any(&port);
    if (file < 0 || fd < 0 || pthread_create(&writer, NULL, writer_main, bytes) != 0) {
        fprintf(stderr, "bare_ingest: %s\n", strerror(errno));
        return 1;
    }
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, 2u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32 << 10, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_END);
    if (!daemon)
        return 1;
    printf("ready http://127.0.0.1:%u\n", port);
    fflush(stdout);
    sigwait(&signals, &number);
    pthread_mutex_lock(&lock);
    is_over = true;
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
    pthread_join(writer, NULL);
    MHD_stop_daemon(daemon);
    free(bytes);
    return 0;
}
