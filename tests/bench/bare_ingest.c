/* Reference of the benchmark `ingest`: the least a durable HTTP ingest does. libmicrohttpd with
 * epoll threads; every POST body is queued, one thread writes what is queued to a file, syncs it
 * once and resumes the waiting connections. No parsing, no partitions, no keys. Usage: bare_ingest
 * FILE; prints http://127.0.0.1:PORT and runs until SIGTERM.
 */
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct post {
    struct MHD_Connection *connection;
    struct post *next;
    char *body;
    size_t len;
    int is_durable;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct post *queue;
static int file;

static void write_all(const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(file, bytes, len);
        if (n < 0)
            abort();
        bytes += n;
        len -= (size_t)n;
    }
}

static void *commit_thread(void *unused)
{
    char *bytes = malloc(64u << 20);
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!queue)
            pthread_cond_wait(&changed, &lock);
        struct post *group = queue;
        queue = NULL;
        pthread_mutex_unlock(&lock);
        size_t len = 0;
        for (struct post *post = group; post; post = post->next) {
            memcpy(bytes + len, post->body, post->len);
            len += post->len;
        }
        write_all(bytes, len);
        if (fdatasync(file) != 0)
            abort();
        for (struct post *post = group, *next; post; post = next) {
            next = post->next;
            post->is_durable = 1;
            MHD_resume_connection(post->connection);
        }
    }
    return unused;
}

static enum MHD_Result reply(struct MHD_Connection *connection)
{
    static char text[] = "{\"accepted\":1}\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **slot)
{
    struct post *post = *slot;
    (void)cls, (void)url, (void)method, (void)version;
    if (!post) {
        *slot = post = calloc(1, sizeof *post);
        post->connection = connection;
        return MHD_YES;
    }
    if (*size) {
        post->body = realloc(post->body, post->len + *size);
        memcpy(post->body + post->len, data, *size);
        post->len += *size;
        *size = 0;
        return MHD_YES;
    }
    if (post->is_durable)
        return reply(connection);
    MHD_suspend_connection(connection);
    pthread_mutex_lock(&lock);
    post->next = queue;
    queue = post;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    return MHD_YES;
}

static void completed(void *cls, struct MHD_Connection *connection, void **slot,
                      enum MHD_RequestTerminationCode code)
{
    struct post *post = *slot;
    (void)cls, (void)connection, (void)code;
    if (post) {
        free(post->body);
        free(post);
    }
    *slot = NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pthread_t thread;
    sigset_t set;
    int number;
    if (argc != 2)
        return 2;
    file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (file < 0 || pthread_create(&thread, NULL, commit_thread, NULL) != 0)
        return 1;
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                         handle, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE,
                         2u, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
    if (!daemon)
        return 1;
    printf("http://127.0.0.1:%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    sigwait(&set, &number);
    _exit(0);
}
