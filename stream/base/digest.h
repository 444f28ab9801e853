/* Message digests: MD5 (RFC 1321), SHA-1, SHA-256 and SHA-512 (FIPS 180-4), CRC-32 (ISO 3309). For
 * functions of SQL, not for secrets. @thread any
 */
#ifndef TN_STREAM_BASE_DIGEST_H
#define TN_STREAM_BASE_DIGEST_H

#include "stream/base/str.h"

#include <stdint.h>

void tn_md5(struct tn_str bytes, unsigned char digest[16]);
void tn_sha1(struct tn_str bytes, unsigned char digest[20]);
void tn_sha256(struct tn_str bytes, unsigned char digest[32]);
void tn_sha512(struct tn_str bytes, unsigned char digest[64]);
uint32_t tn_crc32(struct tn_str bytes);

#endif
