/* Digests by libcrypto, whose SHA uses the processor's instructions; CRC-32 bit by bit, since SQL's
 * crc32() is rare and short. @thread any */
#include "stream/base/digest.h"

#include <openssl/evp.h>

#include "stream/base/status.h"

static void digest_of(const EVP_MD *type, struct tn_str bytes, unsigned char *digest)
{
    int is_done = EVP_Digest(bytes.ptr, bytes.len, digest, NULL, type, NULL);
    TN_ASSERT(is_done);
}

void tn_md5(struct tn_str bytes, unsigned char digest[16])
{
    digest_of(EVP_md5(), bytes, digest);
}

void tn_sha1(struct tn_str bytes, unsigned char digest[20])
{
    digest_of(EVP_sha1(), bytes, digest);
}

void tn_sha256(struct tn_str bytes, unsigned char digest[32])
{
    digest_of(EVP_sha256(), bytes, digest);
}

void tn_sha512(struct tn_str bytes, unsigned char digest[64])
{
    digest_of(EVP_sha512(), bytes, digest);
}

uint32_t tn_crc32(struct tn_str bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}
