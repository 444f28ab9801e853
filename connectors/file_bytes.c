/* Object bytes and decompression. Contract: connectors/file_bytes.h.
 *
 * Ranges of FETCH_BYTES are fetched; plain ones go straight into the caller's buffer. gzip is
 * ISA-L's inflate: streaming like zlib's, at more than twice its speed.
 */
#include "connectors/file_bytes.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "stream/base/mem.h"

#define FETCH_BYTES  ((size_t)256 << 10)
#define EXPAND_BYTES ((size_t)256 << 10)
#define FETCH_MAX    ((size_t)1 << 20)
#define ZSTD_LOG_MAX 27

struct tn_file_bytes {
    struct tn_file_bytes_spec spec;
    int64_t at; /* next byte to fetch */
    enum tn_file_codec codec;
    bool is_begun, is_done, is_short;
    struct tn_buf packed; /* compressed bytes */
    size_t packed_at;     /* consumed of them */
    int64_t expanded;
    struct inflate_state *inflate;
    bool is_member_open; /* gzip: inside a member */
    ZSTD_DStream *zstd;
    bool is_frame_open;
};

enum tn_status tn_file_bytes_open(const struct tn_file_bytes_spec *spec,
                                  struct tn_file_bytes **ret_bytes, struct tn_err *err)
{
    (void)err;
    struct tn_file_bytes *bytes = tn_alloc(sizeof *bytes);
    bytes->spec = *spec;
    bytes->at = spec->from;
    tn_buf_init(&bytes->packed, FETCH_MAX);
    *ret_bytes = bytes;
    return TN_OK;
}

void tn_file_bytes_close(struct tn_file_bytes *bytes)
{
    if (!bytes)
        return;
    tn_buf_release(&bytes->packed);
    tn_free(bytes->inflate);
    ZSTD_freeDStream(bytes->zstd);
    tn_free(bytes);
}

bool tn_file_bytes_is_short(const struct tn_file_bytes *bytes)
{
    return bytes->is_short;
}

enum tn_file_codec tn_file_bytes_codec(const struct tn_file_bytes *bytes)
{
    return bytes->codec;
}

int64_t tn_file_bytes_fetched(const struct tn_file_bytes *bytes)
{
    return bytes->at - bytes->spec.from;
}

/* Next range of the object behind buf; TN_END at its end. */
static enum tn_status fetch(struct tn_file_bytes *bytes, struct tn_buf *buf, struct tn_err *err)
{
    const struct tn_file_bytes_spec *spec = &bytes->spec;
    int64_t left = spec->to - bytes->at;
    size_t before = buf->len;
    if (left <= 0)
        return TN_END;
    int64_t want = left < (int64_t)FETCH_BYTES ? left : (int64_t)FETCH_BYTES;
    struct tn_object_request request = {.op = TN_OBJECT_GET,
                                        .key = spec->key,
                                        .offset = bytes->at,
                                        .length = want,
                                        .if_etag = spec->etag,
                                        .ret_body = buf,
                                        .timeout_ms = spec->timeout_ms};
    enum tn_status st = tn_object_wait(spec->store, &request, err);
    if (st != TN_OK)
        return st;
    bytes->at += (int64_t)(buf->len - before);
    return buf->len == before ? TN_END : TN_OK;
}

/* ---- gzip ---- */

static enum tn_status corrupt(const struct tn_file_bytes *bytes, const char *what,
                              struct tn_err *err)
{
    return tn_err_set(
        err, TN_E_CORRUPT, "object '%s': %s at compressed byte %lld", bytes->spec.key, what,
        (long long)(bytes->at - (int64_t)bytes->packed.len + (int64_t)bytes->packed_at));
}

static enum tn_status gzip_expand(struct tn_file_bytes *bytes, char *to, size_t room,
                                  size_t *ret_len, struct tn_err *err)
{
    if (!bytes->inflate)
        bytes->inflate = tn_alloc(sizeof *bytes->inflate);
    struct inflate_state *state = bytes->inflate;
    if (!bytes->is_member_open) {
        isal_inflate_init(state);
        state->crc_flag = ISAL_GZIP;
        bytes->is_member_open = true;
    }
    state->next_in = (uint8_t *)bytes->packed.ptr + bytes->packed_at;
    state->avail_in = (uint32_t)(bytes->packed.len - bytes->packed_at);
    state->next_out = (uint8_t *)to;
    state->avail_out = (uint32_t)room;
    int rc = isal_inflate(state);
    bytes->packed_at = bytes->packed.len - state->avail_in;
    *ret_len = room - state->avail_out;
    if (rc != ISAL_DECOMP_OK)
        return corrupt(
            bytes, rc == ISAL_INCORRECT_CHECKSUM ? "wrong gzip checksum" : "bad gzip data", err);
    if (state->block_state == ISAL_BLOCK_FINISH)
        bytes->is_member_open = false;
    return TN_OK;
}

/* ---- zstd ---- */

static enum tn_status zstd_expand(struct tn_file_bytes *bytes, char *to, size_t room,
                                  size_t *ret_len, struct tn_err *err)
{
    if (!bytes->zstd) {
        bytes->zstd = ZSTD_createDStream();
        if (!bytes->zstd)
            return tn_err_set(err, TN_E_NOMEM, "object '%s': no memory for zstd", bytes->spec.key);
        (void)ZSTD_DCtx_setParameter(bytes->zstd, ZSTD_d_windowLogMax, ZSTD_LOG_MAX);
    }
    ZSTD_inBuffer in = {bytes->packed.ptr, bytes->packed.len, bytes->packed_at};
    ZSTD_outBuffer out = {to, room, 0};
    size_t rc = ZSTD_decompressStream(bytes->zstd, &out, &in);
    bytes->packed_at = in.pos;
    *ret_len = out.pos;
    if (ZSTD_isError(rc))
        return corrupt(bytes, ZSTD_getErrorName(rc), err);
    bytes->is_frame_open = rc != 0;
    return TN_OK;
}

/* ---- both ---- */

static bool is_open(const struct tn_file_bytes *bytes)
{
    return bytes->codec == TN_FILE_GZIP ? bytes->is_member_open : bytes->is_frame_open;
}

/* Behind the last member only zeros may follow, as gzip allows. */
static bool only_padding(const struct tn_file_bytes *bytes)
{
    for (size_t i = bytes->packed_at; i < bytes->packed.len; i++)
        if (bytes->packed.ptr[i])
            return false;
    return true;
}

static enum tn_status refill(struct tn_file_bytes *bytes, struct tn_err *err)
{
    if (bytes->packed_at < bytes->packed.len)
        return TN_OK;
    tn_buf_reset(&bytes->packed);
    bytes->packed_at = 0;
    return fetch(bytes, &bytes->packed, err);
}

static enum tn_status expand_some(struct tn_file_bytes *bytes, struct tn_buf *buf,
                                  struct tn_err *err)
{
    char *to = tn_buf_reserve(buf, EXPAND_BYTES);
    size_t len = 0;
    if (!to)
        return tn_err_set(err, TN_E_LIMIT, "object '%s' has a line longer than the reader takes",
                          bytes->spec.key);
    while (len == 0) {
        enum tn_status st = refill(bytes, err);
        if (st == TN_END) {
            bytes->is_done = true;
            bytes->is_short = is_open(bytes);
            if (bytes->is_short)
                return corrupt(bytes, "it ends too early (truncated)", err);
            return TN_END;
        }
        if (st != TN_OK)
            return st;
        if (bytes->codec == TN_FILE_GZIP && !bytes->is_member_open && bytes->expanded &&
            only_padding(bytes)) {
            bytes->packed_at = bytes->packed.len;
            continue;
        }
        TN_TRY(bytes->codec == TN_FILE_GZIP ? gzip_expand(bytes, to, EXPAND_BYTES, &len, err)
                                            : zstd_expand(bytes, to, EXPAND_BYTES, &len, err));
    }
    buf->len += len;
    bytes->expanded += (int64_t)len;
    if (bytes->spec.expanded_max && bytes->expanded > bytes->spec.expanded_max)
        return tn_err_set(err, TN_E_LIMIT,
                          "object '%s' expands to more than %lld bytes (lake.expanded.bytes.max)",
                          bytes->spec.key, (long long)bytes->spec.expanded_max);
    return TN_OK;
}

static enum tn_status begin(struct tn_file_bytes *bytes, struct tn_buf *buf, struct tn_err *err)
{
    bytes->is_begun = true;
    if (bytes->spec.from > 0) /* a range of a plain object */
        return fetch(bytes, buf, err);
    size_t before = buf->len;
    enum tn_status st = fetch(bytes, buf, err);
    if (st != TN_OK)
        return st;
    const unsigned char *head = (const unsigned char *)buf->ptr + before;
    size_t len = buf->len - before;
    if (len >= 2 && head[0] == 0x1f && head[1] == 0x8b)
        bytes->codec = TN_FILE_GZIP;
    else if (len >= 4 && head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd)
        bytes->codec = TN_FILE_ZSTD;
    else
        return TN_OK;
    tn_buf_add(&bytes->packed, head, len);
    buf->len = before;
    return expand_some(bytes, buf, err);
}

enum tn_status tn_file_bytes_read(struct tn_file_bytes *bytes, struct tn_buf *buf,
                                  struct tn_err *err)
{
    if (bytes->is_done)
        return TN_END;
    if (!bytes->is_begun)
        return begin(bytes, buf, err);
    return bytes->codec == TN_FILE_PLAIN ? fetch(bytes, buf, err) : expand_some(bytes, buf, err);
}
