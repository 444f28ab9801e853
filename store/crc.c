/* CRC-32C for RocksDB, by the processor's instruction.
 *
 * WHY: RocksDB chooses between its table and SSE4.2 when it is compiled, and Debian compiles for
 * every x86-64: the table took 14 % of the CPU of ingest (each log entry is summed for the WAL and
 * for its blob file). The function is an exported symbol of the library that it calls through its
 * own symbol table, so the program's definition of the same name takes its place, as with malloc. A
 * library that hides the name goes on with its own: same sums, only slower. test_store_db.c checks
 * that it is ours.
 * @thread any
 */
#include "store/db_int.h"

#include "stream/base/hash.h"

/* rocksdb::crc32c::Extend(unsigned, const char *, unsigned long) */
uint32_t tni_rocks_crc32c(uint32_t crc, const char *bytes,
                          size_t len) __asm__("_ZN7rocksdb6crc32c6ExtendEjPKcm");

__attribute__((visibility("default"))) uint32_t tni_rocks_crc32c(uint32_t crc, const char *bytes,
                                                                 size_t len)
{
    return tn_crc32c(crc, bytes, len);
}

void tni_crc_link(void)
{
}
