/* Block compression with libdeflate and libzstd. Contract: connectors/pack.h. */
#include "connectors/pack.h"

#include <libdeflate.h>
#include <zstd.h>

#include "stream/base/mem.h"

struct tn_packer {
    enum tn_pack_kind kind;
    int level;
    struct libdeflate_compressor *deflate;
    ZSTD_CCtx *zstd;
};

struct tn_packer *tn_packer_new(enum tn_pack_kind kind, int level)
{
    struct tn_packer *packer = tn_alloc(sizeof *packer);
    packer->kind = kind;
    packer->level = level ? level : kind == TN_PACK_GZIP ? 6 : 3;
    if (kind == TN_PACK_GZIP)
        packer->deflate = libdeflate_alloc_compressor(packer->level);
    else if (kind == TN_PACK_ZSTD)
        packer->zstd = ZSTD_createCCtx();
    TN_ASSERT(kind != TN_PACK_GZIP || packer->deflate);
    TN_ASSERT(kind != TN_PACK_ZSTD || packer->zstd);
    return packer;
}

void tn_packer_free(struct tn_packer *packer)
{
    if (!packer)
        return;
    if (packer->deflate)
        libdeflate_free_compressor(packer->deflate);
    ZSTD_freeCCtx(packer->zstd);
    tn_free(packer);
}

void tn_packer_add(struct tn_packer *packer, struct tn_str block, struct tn_buf *out)
{
    size_t bound, used = 0;
    char *to;
    switch (packer->kind) {
    case TN_PACK_NONE: tn_buf_add_str(out, block); return;
    case TN_PACK_GZIP:
        bound = libdeflate_gzip_compress_bound(packer->deflate, block.len);
        to = tn_buf_reserve(out, bound);
        if (to)
            used = libdeflate_gzip_compress(packer->deflate, block.ptr, block.len, to, bound);
        break;
    case TN_PACK_ZSTD:
        bound = ZSTD_compressBound(block.len);
        to = tn_buf_reserve(out, bound);
        if (to)
            used = ZSTD_compressCCtx(packer->zstd, to, bound, block.ptr, block.len, packer->level);
        TN_ASSERT(!to || !ZSTD_isError(used));
        break;
    }
    out->len += used;
}

static enum tn_status unpack_gzip(struct tn_str packed, struct tn_buf *out, struct tn_err *err)
{
    struct libdeflate_decompressor *inflate = libdeflate_alloc_decompressor();
    enum libdeflate_result result = LIBDEFLATE_SUCCESS;
    size_t room = packed.len * 4 + 4096, used, made;
    TN_ASSERT(inflate);
    while (packed.len) {
        char *to = tn_buf_reserve(out, room);
        result = to ? libdeflate_gzip_decompress_ex(inflate, packed.ptr, packed.len, to, room,
                                                    &used, &made)
                    : LIBDEFLATE_BAD_DATA;
        if (to && result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            room *= 2;
            continue;
        }
        if (result != LIBDEFLATE_SUCCESS)
            break;
        out->len += made;
        packed = (struct tn_str){packed.ptr + used, packed.len - used};
    }
    libdeflate_free_decompressor(inflate);
    return result == LIBDEFLATE_SUCCESS ? TN_OK
                                        : tn_err_set(err, TN_E_CORRUPT, "not complete gzip data");
}

static enum tn_status unpack_zstd(struct tn_str packed, struct tn_buf *out, struct tn_err *err)
{
    while (packed.len) {
        size_t frame = ZSTD_findFrameCompressedSize(packed.ptr, packed.len);
        unsigned long long size =
            ZSTD_isError(frame) ? 0 : ZSTD_getFrameContentSize(packed.ptr, frame);
        bool is_known = !ZSTD_isError(frame) && size != ZSTD_CONTENTSIZE_ERROR &&
                        size != ZSTD_CONTENTSIZE_UNKNOWN;
        char *to = is_known ? tn_buf_reserve(out, (size_t)size) : NULL;
        size_t made = to || (is_known && !size) ? ZSTD_decompress(to, size, packed.ptr, frame) : 0;
        if (!is_known || !to || ZSTD_isError(made))
            return tn_err_set(err, TN_E_CORRUPT, "not complete zstd data");
        out->len += made;
        packed = (struct tn_str){packed.ptr + frame, packed.len - frame};
    }
    return TN_OK;
}

enum tn_status tn_unpack(enum tn_pack_kind kind, struct tn_str packed, struct tn_buf *out,
                         struct tn_err *err)
{
    if (kind == TN_PACK_GZIP)
        return unpack_gzip(packed, out, err);
    if (kind == TN_PACK_ZSTD)
        return unpack_zstd(packed, out, err);
    tn_buf_add_str(out, packed);
    return TN_OK;
}

uint32_t tn_pack_crc32(uint32_t crc, struct tn_str bytes)
{
    return libdeflate_crc32(crc, bytes.ptr, bytes.len);
}

const char *tn_pack_suffix(enum tn_pack_kind kind)
{
    static const char *const suffixes[] = {"", ".gz", ".zst"};
    return suffixes[kind];
}
