/* Durable form of one catalog version: the statement as given, plus everything that was decided
 * when it first ran and must not change when it is read again (ids, defaults of that moment).
 *
 * Text, so that an operator can read it and a newer release can add lines:
 *
 *     tarn-catalog 1
 *     created_ms: 1700000000000
 *     schema: default
 *     store: 7
 *     partitions: 12
 *     offset_reset: earliest
 *     file: 00c0ffee00c0ffee       (hash of the pipeline file it was run for)
 *     topic: 12 played-songs       (a topic that was asked for, and its partitions then; 0 = there
 * was none)
 *
 *     CREATE TABLE songs_played AS SELECT …
 *
 * A reader ignores lines it does not know and refuses another number after "tarn-catalog".
 */
#ifndef TN_SQL_CATALOG_RECORD_H
#define TN_SQL_CATALOG_RECORD_H

#include "stream/base/arena.h"
#include "stream/base/buf.h"

struct tni_record_topic {
    const char *name;
    int32_t partitions; /* 0 = it did not exist */
};

#define TNI_RECORD_TOPICS_MAX 256

struct tni_record {
    int64_t created_ms;
    const char *schema_name; /* session schema */
    uint32_t store_first;    /* first durable store id this statement may use */
    int32_t partitions;      /* default partition count of that moment */
    bool is_latest;          /* auto.offset.reset */
    bool is_exact;           /* identifiers=ksql */
    uint32_t topics_count;
    struct tni_record_topic *topics;
    uint64_t file; /* 0 = none */
    struct tn_str statement;
};

void tni_record_encode(const struct tni_record *record, struct tn_buf *buf);
enum tn_status tni_record_decode(struct tn_str bytes, struct tn_arena *arena,
                                 struct tni_record *ret_record, struct tn_err *err);

#endif
