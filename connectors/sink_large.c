/* Files that are larger than a sink may hold: the spool, and uploads in parts.
 *
 * SPOOL. Once the open files of a sink hold TNI_SINK_HELD_SPOOL bytes, packed bytes of the large
 * ones move to files without names below the spool folder. Nothing of it has to survive: after a
 * crash the cut is made again from the log, with the same bytes. When the spool cannot take more
 * (no room, too many files, no folder) the sink cuts early instead.
 *
 * UPLOADS go in pieces of at most 8 MiB, one at a time. What the store has taken of an upload is
 * remembered, so a store that goes away in the middle is gone on with, not begun again. Contract:
 * connectors/sink_int.h. */
#include "connectors/sink_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "connectors/wait.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define SPOOL_MIN     ((size_t)1 << 20) /* of one file */
#define SPOOL_FILES   64                /* of one sink */
#define SPOOL_RESERVE ((uint64_t)2 << 30)
#define PIECE_BYTES   ((size_t)8 << 20)

/* An upload under way. */
struct tni_sink_upload {
    char id[TN_OBJECT_UPLOAD_MAX];
    size_t piece;
    int parts_done, parts_count;
    char etags[][TN_OBJECT_ETAG_MAX];
};

int64_t tni_sink_file_bytes(const struct tni_sink_file *file)
{
    return file->spooled + (int64_t)file->out.len;
}

void tni_sink_file_shut(struct tni_sink_file *file)
{
    if (file->spool_fd >= 0)
        close(file->spool_fd);
    file->spool_fd = -1;
    tn_free(file->upload);
    file->upload = NULL;
}

/* ---- the spool ---- */

/* A file without a name: the number in it is only for the moment between open and unlink. */
static int spool_new(struct tn_sinks *sinks)
{
    char path[4200];
    unsigned number = atomic_fetch_add(&sinks->spool_number, 1);
    (void)mkdir(sinks->config.spool_folder, 0700);
    int len = snprintf(path, sizeof path, "%s/%u", sinks->config.spool_folder, number);
    if (len < 0 || (size_t)len >= sizeof path)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

/* The spool leaves twice as much free as the store asks for before it refuses ingest. */
static bool has_room(int fd, size_t bytes)
{
    struct statvfs disk;
    if (fstatvfs(fd, &disk) != 0)
        return false;
    uint64_t reserve = (uint64_t)disk.f_blocks * disk.f_frsize / 10;
    if (reserve > SPOOL_RESERVE)
        reserve = SPOOL_RESERVE;
    return (uint64_t)disk.f_bavail * disk.f_frsize > reserve + bytes;
}

static bool spool_file(struct tn_sinks *sinks, struct tni_sink_file *file)
{
    if (file->spool_fd < 0 && (file->spool_fd = spool_new(sinks)) < 0)
        return false;
    if (!has_room(file->spool_fd, file->out.len))
        return false;
    for (size_t at = 0; at < file->out.len;) {
        ssize_t done = pwrite(file->spool_fd, file->out.ptr + at, file->out.len - at,
                              (off_t)file->spooled + (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false; /* the bytes are still held; what was written is written over */
        at += (size_t)done;
    }
    file->crc32 = tn_pack_crc32(file->crc32, tn_buf_str(&file->out));
    file->spooled += (int64_t)file->out.len;
    size_t limit = file->out.max;
    tn_buf_release(&file->out);
    tn_buf_init(&file->out, limit);
    return true;
}

int64_t tni_sink_held(const struct tni_sink *sink)
{
    int64_t bytes = 0;
    for (uint32_t p = 0; p < sink->parts_count; p++)
        for (uint32_t f = 0; f < sink->parts[p].files_count; f++)
            bytes += (int64_t)(sink->parts[p].files[f].raw.cap + sink->parts[p].files[f].out.cap);
    return bytes;
}

void tni_sink_spool(struct tni_sink *sink)
{
    struct tn_sinks *sinks = sink->sinks;
    int files = 0;
    if (!sinks->config.spool_folder || !sink->store->part_bytes || sink->spec->options.object_key ||
        tni_sink_held(sink) <= TNI_SINK_HELD_SPOOL)
        return;
    for (uint32_t p = 0; p < sink->parts_count; p++)
        for (uint32_t f = 0; f < sink->parts[p].files_count; f++)
            files += sink->parts[p].files[f].spool_fd >= 0;
    for (uint32_t p = 0; p < sink->parts_count; p++)
        for (uint32_t f = 0; f < sink->parts[p].files_count; f++) {
            struct tni_sink_file *file = &sink->parts[p].files[f];
            bool is_new = file->spool_fd < 0;
            if (file->out.len < SPOOL_MIN || file->is_errors || (is_new && files >= SPOOL_FILES))
                continue;
            if (!spool_file(sinks, file))
                return;
            files += is_new;
        }
}

/* Bytes [at, at + len) of a file; `room` takes them when they are not in memory. */
static enum tn_status read_piece(const struct tni_sink_file *file, int64_t at, size_t len,
                                 char *room, struct tn_str *ret_piece, struct tn_err *err)
{
    *ret_piece = (struct tn_str){room, len};
    if (at >= file->spooled) {
        ret_piece->ptr = file->out.ptr + (at - file->spooled);
        return TN_OK;
    }
    size_t wanted = file->spooled - at < (int64_t)len ? (size_t)(file->spooled - at) : len;
    for (size_t done = 0; done < wanted;) {
        ssize_t got = pread(file->spool_fd, room + done, wanted - done, (off_t)at + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return tn_err_set(err, TN_E_CORRUPT, "the spool of a sink cannot be read: %s",
                              got < 0 ? strerror(errno) : "it is short");
        done += (size_t)got;
    }
    if (wanted < len)
        memcpy(room + wanted, file->out.ptr, len - wanted);
    return TN_OK;
}

/* ---- one request, given up when the sink ends ---- */

static enum tn_status ask(struct tni_sink *sink, struct tn_object_request *request,
                          struct tn_err *err)
{
    struct tn_object_group group;
    if (tni_sink_is_stopping(sink))
        return tn_err_set(err, TN_E_CANCELLED, "stopped");
    request->timeout_ms = sink->spec->options.timeout_ms;
    tn_object_group_init(&group, sink->store);
    tn_object_group_add(&group, request);
    (void)tn_object_group_next(&group, tni_sink_is_stopping, sink);
    tn_object_group_release(&group);
    if (tn_failed(request->status) && err)
        *err = request->err;
    return request->status;
}

/* ---- a name that is taken ---- */

static enum tn_status compare(struct tni_sink *sink, const struct tni_sink_file *file,
                              const char *key, bool *ret_same, struct tn_err *err)
{
    int64_t bytes = tni_sink_file_bytes(file);
    struct tn_object_request head = {.op = TN_OBJECT_HEAD, .key = key};
    struct tn_str piece;
    struct tn_buf there;
    TN_TRY(ask(sink, &head, err));
    *ret_same = head.info.size == bytes;
    char *room = tn_alloc(PIECE_BYTES);
    tn_buf_init(&there, PIECE_BYTES + 1);
    enum tn_status st = TN_OK;
    for (int64_t at = 0; st == TN_OK && *ret_same && at < bytes; at += (int64_t)piece.len) {
        int64_t left = bytes - at;
        size_t len = left < (int64_t)PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        tn_buf_reset(&there);
        struct tn_object_request get = {.op = TN_OBJECT_GET,
                                        .key = key,
                                        .offset = at,
                                        .length = (int64_t)len,
                                        .ret_body = &there};
        st = read_piece(file, at, len, room, &piece, err);
        if (st == TN_OK)
            st = ask(sink, &get, err);
        if (st == TN_OK)
            *ret_same = tn_str_eq(tn_buf_str(&there), piece);
    }
    tn_buf_release(&there);
    tn_free(room);
    return st;
}

enum tn_status tni_sink_settle(struct tni_sink *sink, const struct tni_sink_file *file,
                               const char *key, bool *ret_same, struct tn_err *err)
{
    TN_TRY(compare(sink, file, key, ret_same, err));
    if (*ret_same)
        return TN_OK;
    if (sink->spec->options.is_confluent) {
        tn_err_set(err, TN_E_EXISTS, "'%s' exists with other contents", key);
        tn_err_hint(err, "another connector writes there; choose another folder");
        return TN_E_EXISTS;
    }
    tn_logf(TN_LOG_WARN, "sink", "replaces a file no entry names, sink=%s key=%s", sink->name, key);
    return TN_OK;
}

/* ---- an upload ---- */

static enum tn_status upload_begin(struct tni_sink *sink, struct tni_sink_file *file,
                                   const char *key, bool *ret_there, struct tn_err *err)
{
    struct tn_object_request head = {.op = TN_OBJECT_HEAD, .key = key};
    int64_t bytes = tni_sink_file_bytes(file);
    enum tn_status st = ask(sink, &head, err);
    if (st == TN_OK)
        st = tni_sink_settle(sink, file, key, ret_there, err);
    else if (st == TN_NOT_FOUND)
        st = TN_OK;
    if (st != TN_OK || *ret_there)
        return st;
    size_t piece = sink->store->part_bytes < PIECE_BYTES ? sink->store->part_bytes : PIECE_BYTES;
    while (bytes / (int64_t)piece >= TN_OBJECT_PARTS_MAX)
        piece *= 2;
    int count = (int)((bytes + (int64_t)piece - 1) / (int64_t)piece);
    struct tni_sink_upload *upload =
        tn_alloc(sizeof *upload + (size_t)count * sizeof *upload->etags);
    upload->piece = piece;
    upload->parts_count = count;
    struct tn_object_request start = {
        .op = TN_OBJECT_UPLOAD_START, .key = key, .upload_id = upload->id};
    st = ask(sink, &start, err);
    if (st == TN_OK)
        file->upload = upload;
    else
        tn_free(upload);
    return st;
}

static enum tn_status upload_parts(struct tni_sink *sink, struct tni_sink_file *file,
                                   const char *key, struct tn_err *err)
{
    struct tni_sink_upload *upload = file->upload;
    TN_ASSERT(upload);
    int64_t bytes = tni_sink_file_bytes(file);
    char *room = tn_alloc(upload->piece);
    enum tn_status st = TN_OK;
    while (st == TN_OK && upload->parts_done < upload->parts_count) {
        int64_t at = (int64_t)upload->piece * upload->parts_done, left = bytes - at;
        size_t len = left < (int64_t)upload->piece ? (size_t)left : upload->piece;
        struct tn_object_request part = {.op = TN_OBJECT_UPLOAD_PART,
                                         .key = key,
                                         .upload_id = upload->id,
                                         .part = upload->parts_done + 1};
        st = read_piece(file, at, len, room, &part.body, err);
        if (st == TN_OK)
            st = ask(sink, &part, err);
        if (st == TN_OK)
            memcpy(upload->etags[upload->parts_done++], part.info.etag, TN_OBJECT_ETAG_MAX);
    }
    tn_free(room);
    return st;
}

enum tn_status tni_sink_put_large(struct tni_sink *sink, struct tni_sink_file *file,
                                  const char *key, struct tn_err *err)
{
    bool is_there = false;
    if (!file->upload)
        TN_TRY(upload_begin(sink, file, key, &is_there, err));
    if (is_there)
        return TN_OK;
    struct tni_sink_upload *upload = file->upload;
    TN_ASSERT(upload);
    enum tn_status st = upload_parts(sink, file, key, err);
    struct tn_object_request finish = {.op = TN_OBJECT_UPLOAD_FINISH,
                                       .key = key,
                                       .upload_id = upload->id,
                                       .etags = (const char(*)[TN_OBJECT_ETAG_MAX])upload->etags,
                                       .parts_count = upload->parts_count};
    if (st == TN_OK)
        st = ask(sink, &finish, err);
    if (st == TN_OK || st == TN_E_IO || st == TN_E_TIMEOUT || st == TN_E_FULL || st == TN_E_BUSY ||
        st == TN_E_DENIED)
        return st; /* the next try goes on with it */
    if (st != TN_E_INDEFINITE && st != TN_E_CANCELLED)
        (void)!tn_object_upload_abort(sink->store, key, upload->id, sink->spec->options.timeout_ms,
                                      NULL);
    tn_free(upload); /* begun anew, which looks first; what is left of it is swept */
    file->upload = NULL;
    return st == TN_E_INDEFINITE ? TN_E_IO : st;
}
