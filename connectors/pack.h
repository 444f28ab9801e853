/* Compression of lake files, block by block: each call makes one complete gzip member or zstd
 * frame, and a file is their concatenation (RFC 1952 §2.2, RFC 8878 §3), which every reader of
 * these formats accepts. Deterministic: the same blocks, kind and level give the same bytes (no
 * clock, no file name), so a file that must be made again is the same file.
 *
 * @thread a packer: one owner
 */
#ifndef TN_CONNECTORS_PACK_H
#define TN_CONNECTORS_PACK_H

#include "stream/base/buf.h"

enum tn_pack_kind { TN_PACK_NONE, TN_PACK_GZIP, TN_PACK_ZSTD };

struct tn_packer;

/* level 0 = the kind's default (gzip 6, zstd 3); gzip 1 … 12, zstd 1 … 19. */
struct tn_packer *tn_packer_new(enum tn_pack_kind kind, int level);
void tn_packer_free(struct tn_packer *packer); /* NULL is a no-op */
/* Appends the packed block. */
void tn_packer_add(struct tn_packer *packer, struct tn_str block, struct tn_buf *out);
/* Appends the contents of what a packer of this kind made. TN_E_CORRUPT. */
enum tn_status tn_unpack(enum tn_pack_kind kind, struct tn_str packed, struct tn_buf *out,
                         struct tn_err *err);
/* CRC-32 (ISO 3309) of bytes that follow those of `crc` (0 to start). */
uint32_t tn_pack_crc32(uint32_t crc, struct tn_str bytes);
/* ".gz", ".zst", "". */
const char *tn_pack_suffix(enum tn_pack_kind kind);

#endif
