/* Large request bodies: shared by the records that point into them, and their memory used again.
 *
 * WHY: fresh memory is dear (each first touch of a page is a fault, and on a virtual machine often
 * one of the host, too): a third of what receiving a body of 8 MB cost. So up to SPARES buffers of
 * ended requests wait for the next large body, until none came for IDLE_TICKS of the watch thread.
 * @thread any (one lock)
 */
#include "connectors/http_int.h"

#include "stream/base/mem.h"

#define SPARES          2
#define SPARE_BYTES_MAX ((size_t)32 << 20)
#define IDLE_TICKS      4

struct tn_http_bytes {
    atomic_int refs;
    struct tn_str text;
    size_t cap;
};

struct spare {
    char *ptr; /* NULL: none */
    size_t cap;
    int idle_ticks;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct spare spares[SPARES];

void tni_http_spare_take(struct tn_buf *buf)
{
    struct spare *best = NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SPARES; i++)
        if (spares[i].ptr && spares[i].cap <= buf->max && (!best || spares[i].cap > best->cap))
            best = &spares[i];
    if (best && !buf->ptr) {
        buf->ptr = best->ptr;
        buf->cap = best->cap;
        best->ptr = NULL;
    }
    pthread_mutex_unlock(&lock);
}

/* Keeps the larger ones. */
static void spare_give(char *ptr, size_t cap)
{
    struct spare *least = &spares[0];
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SPARES; i++)
        if (least->ptr && (!spares[i].ptr || spares[i].cap < least->cap))
            least = &spares[i];
    if (cap <= SPARE_BYTES_MAX && (!least->ptr || cap > least->cap)) {
        char *out = least->ptr;
        *least = (struct spare){.ptr = ptr, .cap = cap};
        ptr = out;
    }
    pthread_mutex_unlock(&lock);
    tn_free(ptr);
}

void tni_http_spare_give(struct tn_buf *buf)
{
    spare_give(buf->ptr, buf->cap);
    *buf = (struct tn_buf){.max = buf->max};
}

void tni_http_spare_tick(bool is_last)
{
    char *old[SPARES] = {NULL};
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SPARES; i++)
        if (spares[i].ptr && (is_last || ++spares[i].idle_ticks >= IDLE_TICKS)) {
            old[i] = spares[i].ptr;
            spares[i].ptr = NULL;
        }
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < SPARES; i++)
        tn_free(old[i]);
}

struct tn_http_bytes *tn_http_body_take(struct tn_http_request *req)
{
    if (req->body.cap <= TNI_HTTP_BODY_KEEP)
        return NULL;
    struct tn_http_bytes *bytes = tn_alloc(sizeof *bytes);
    atomic_init(&bytes->refs, 1);
    bytes->text = tn_buf_str(&req->body);
    bytes->cap = req->body.cap;
    req->body = (struct tn_buf){.max = req->body.max};
    return bytes;
}

struct tn_str tn_http_bytes_text(const struct tn_http_bytes *bytes)
{
    return bytes->text;
}

struct tn_http_bytes *tn_http_bytes_ref(struct tn_http_bytes *bytes)
{
    atomic_fetch_add_explicit(&bytes->refs, 1, memory_order_relaxed);
    return bytes;
}

void tn_http_bytes_unref(struct tn_http_bytes *bytes)
{
    if (!bytes || atomic_fetch_sub_explicit(&bytes->refs, 1, memory_order_acq_rel) > 1)
        return;
    spare_give((char *)(uintptr_t)bytes->text.ptr, bytes->cap);
    tn_free(bytes);
}
