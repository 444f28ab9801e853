/* Option table of the store and the RocksDB options made from it. README.md has the measurements
 * behind the numbers. */
#include "store/options_int.h"

#include <string.h>

#include "stream/base/mem.h"

#define MIB ((int64_t)1 << 20)

#define OPT_BYTES(name, field, deflt, min, max, help)                                              \
    {                                                                                              \
        name, TN_OPT_BYTES, offsetof(struct tn_store_config, field), deflt, min, max, NULL, 0,     \
            NULL, help                                                                             \
    }
#define OPT_MS(name, field, deflt, min, max, help)                                                 \
    {                                                                                              \
        name, TN_OPT_MS, offsetof(struct tn_store_config, field), deflt, min, max, NULL, 0, NULL,  \
            help                                                                                   \
    }

static const struct tn_opt store_options[] = {
    OPT_BYTES("store.cache.bytes", cache_bytes, "32m", MIB, 1024 * 1024 * MIB,
              "block cache of RocksDB, index and filter blocks included"),
    OPT_BYTES("store.write.buffer.bytes", write_buffer_bytes, "48m", MIB, 16 * 1024 * MIB,
              "memtables of the log, the state and the catalog together"),
    OPT_BYTES("store.reserve.bytes", reserve_bytes, "-1", -1, INT64_MAX,
              "free disk space below which ingest is refused; -1 = 5 % of the disk, at most 1 GiB"),
    OPT_MS("store.sync.interval.ms", sync_interval_ms, "50", 1, 60000,
           "commits become durable within this time"),
    OPT_BYTES("store.tail.bytes", tail_bytes, "16m", 0, 16 * 1024 * MIB,
              "newest log entries kept in memory for live readers"),
    OPT_MS("store.maintain.interval.ms", maintain_interval_ms, "10000", 10, 86400000,
           "how often retention and compaction of embedded logs run"),
    OPT_MS("store.delete.retention.ms", delete_retention_ms, "86400000", 0, INT64_MAX,
           "tombstones of compacted topics are kept at least this long"),
    OPT_BYTES("store.compaction.bytes", compaction_bytes, "16m", 64 * 1024, 16 * 1024 * MIB,
              "memory of one compaction pass over a compacted topic"),
    {"store.ingest.rows", TN_OPT_INT, offsetof(struct tn_store_config, ingest_rows_min), "4096", 1,
     INT64_MAX, NULL, 0, NULL, "sorted state changes of this size are ingested as a file"},
    {"store.log.compression", TN_OPT_CHOICE, offsetof(struct tn_store_config, compression), NULL, 0,
     0, "none,lz4,zstd", 0, NULL, "compression of log entries on disk (default none)"},
    {"store.wal.damage", TN_OPT_CHOICE, offsetof(struct tn_store_config, wal_damage), NULL, 0, 0,
     "refuse,cut", 0, NULL,
     "a write-ahead log damaged in its synced part: refuse to open (default), or lose what "
     "follows"},
};

const struct tn_opts tn_store_opts = {"store", store_options,
                                      sizeof store_options / sizeof *store_options};

void tn_store_config_init(struct tn_store_config *config)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    *config = (struct tn_store_config){0};
    tn_opt_defaults(&tn_store_opts, config, &arena);
    TN_ASSERT(arena.bytes_total == 0); /* no default is a string */
}

rocksdb_options_t *tni_options_db(const struct tn_store_config *config, char **ret_message)
{
    rocksdb_options_t *base = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(base, 1);
    rocksdb_options_set_create_missing_column_families(base, 1);
    rocksdb_options_set_paranoid_checks(base, 1);
    rocksdb_options_set_db_write_buffer_size(base, (size_t)config->write_buffer_bytes);
    rocksdb_options_set_write_buffer_size(base, (size_t)config->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(base, 3);
    rocksdb_options_set_max_total_wal_size(base, (uint64_t)config->write_buffer_bytes);
    rocksdb_options_set_wal_recovery_mode(base, 2); /* point in time */
    rocksdb_options_set_max_background_jobs(base, 2);
    rocksdb_options_set_enable_write_thread_adaptive_yield(base, 0);
    rocksdb_options_set_max_open_files(base, 256);
    /* Nothing but its heading: in Debian's build RocksDB's log ends the process by an assertion
     * when the disk is full. Errors come back from the calls that met them. */
    rocksdb_options_set_info_log_level(base, 4);
    rocksdb_options_set_max_log_file_size(base, (size_t)MIB);
    rocksdb_options_set_keep_log_file_num(base, 2);
    rocksdb_options_set_stats_dump_period_sec(base, 0);
    rocksdb_options_set_stats_persist_period_sec(base, 0);
    rocksdb_options_set_max_manifest_file_size(base, (size_t)(4 * MIB));
    rocksdb_options_set_bytes_per_sync(base, (uint64_t)(4 * MIB));
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_get_options_from_string(base, "avoid_flush_during_recovery=true", options, ret_message);
    rocksdb_options_destroy(base);
    return options;
}

rocksdb_cache_t *tni_options_cache(const struct tn_store_config *config)
{
    rocksdb_lru_cache_options_t *options = rocksdb_lru_cache_options_create();
    rocksdb_lru_cache_options_set_capacity(options, (size_t)config->cache_bytes);
    rocksdb_lru_cache_options_set_num_shard_bits(options, 3);
    rocksdb_cache_t *cache = rocksdb_cache_create_lru_opts(options);
    rocksdb_lru_cache_options_destroy(options);
    return cache;
}

static int compression_of(const char *name)
{
    if (strcmp(name, "lz4") == 0)
        return rocksdb_lz4_compression;
    if (strcmp(name, "zstd") == 0)
        return rocksdb_zstd_compression;
    return rocksdb_no_compression;
}

static void set_table_format(rocksdb_options_t *options, enum tni_cf cf, rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, cache);
    /* The state's index and filters stay with their open tables (about 1.4 bytes a key): in the
     * cache, filters of a megabyte would push each other out. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, cf != TNI_CF_STATE);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_block_size(table, 8 * 1024);
    if (cf == TNI_CF_STATE) {
        rocksdb_block_based_options_set_filter_policy(table,
                                                      rocksdb_filterpolicy_create_bloom_full(10));
        rocksdb_block_based_options_set_data_block_index_type(
            table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
        rocksdb_block_based_options_set_data_block_hash_ratio(table, 0.75);
    }
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

/* Universal: half the CPU of leveled for random keys. Stalls are the whole database's, so they are
 * set far away: a late compaction of state must not slow appends to the log. */
static void set_state_compaction(rocksdb_options_t *options)
{
    rocksdb_universal_compaction_options_t *universal =
        rocksdb_universal_compaction_options_create();
    rocksdb_universal_compaction_options_set_size_ratio(universal, 10);
    rocksdb_universal_compaction_options_set_max_size_amplification_percent(universal, 120);
    rocksdb_options_set_compaction_style(options, rocksdb_universal_compaction);
    rocksdb_options_set_universal_compaction_options(options, universal);
    rocksdb_universal_compaction_options_destroy(universal);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 0);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, 8);
    rocksdb_options_set_level0_slowdown_writes_trigger(options, 64);
    rocksdb_options_set_level0_stop_writes_trigger(options, 128);
}

rocksdb_options_t *tni_options_cf(const rocksdb_options_t *db_options,
                                  const struct tn_store_config *config, enum tni_cf cf,
                                  rocksdb_cache_t *cache)
{
    /* the C API wants a non-const source it does not change */
    rocksdb_options_t *options =
        rocksdb_options_create_copy((rocksdb_options_t *)(uintptr_t)db_options);
    set_table_format(options, cf, cache);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_max_bytes_for_level_base(options, (uint64_t)(128 * MIB));
    rocksdb_options_set_target_file_size_base(options, (uint64_t)(32 * MIB));
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    if (cf == TNI_CF_STATE)
        set_state_compaction(options);
    if (cf == TNI_CF_LOG) {
        rocksdb_options_set_enable_blob_files(options, 1);
        rocksdb_options_set_min_blob_size(options, 1024);
        rocksdb_options_set_blob_file_size(options, (uint64_t)(64 * MIB));
        rocksdb_options_set_blob_compression_type(options, compression_of(config->compression));
        rocksdb_options_set_compression(options, compression_of(config->compression));
        /* log_maintain.c turns it on while there is garbage: it moves every blob of the oldest
         * files that a compaction meets, garbage or not */
        rocksdb_options_set_enable_blob_gc(options, 0);
        rocksdb_options_set_blob_gc_age_cutoff(options, 0.25);
        rocksdb_options_set_blob_gc_force_threshold(options, 0.5);
    }
    return options;
}
