/* Parts of the folder adapter: folder_store.c (objects), folder_list.c, folder_upload.c and
 * folder_watch.c. */
#ifndef TN_CONNECTORS_FOLDER_INT_H
#define TN_CONNECTORS_FOLDER_INT_H

#include <sys/stat.h>

#include "connectors/object_token.h"
#include "stream/object_store.h"

#define TNI_OWN_PREFIX ".tarn-"
#define TNI_TMP_FOLDER ".tarn-tmp"
#define TNI_COPY_BYTES ((size_t)1 << 20)

struct tni_object_pool;

struct tni_folder_store {
    struct tn_object_store base; /* first member */
    char *path;                  /* absolute; for messages */
    char *url;
    int root;
    struct tni_object_pool *pool; /* does submitted requests */
};

/* A temporary file that is not visible yet. */
struct tni_pending {
    int folder; /* .tarn-tmp */
    int fd;
    char name[TNI_OBJECT_TOKEN];
};

struct tni_entry {
    char *name; /* folders with '/' behind */
};

/* NULL: an object store of another kind. */
struct tni_folder_store *tni_folder_of(struct tn_object_store *store);
enum tn_status tni_folder_error(const struct tni_folder_store *store, const char *key, int error,
                                struct tn_err *err);
enum tn_status tni_folder_key_check(const struct tni_folder_store *store, const char *key,
                                    struct tn_err *err);
/* A folder below `at`, never through a link; −1 with errno. */
int tni_open_folder(int at, const char *name, bool is_make);
/* Folder that holds the last segment of `key`; −1 with errno. The caller closes it. */
int tni_open_parent(const struct tni_folder_store *store, const char *key, bool is_make,
                    const char **ret_last);
bool tni_segment_ok(const char *segment, size_t len);
/* The file of that key, links not followed; false: there is none. */
bool tni_folder_stat(const struct tni_folder_store *store, const char *key, struct stat *ret_stat);
bool tni_write_all(int fd, const char *bytes, size_t len);
/* 0 or an errno; drop it in any case. */
int tni_pending_open(const struct tni_folder_store *store, struct tni_pending *pending);
void tni_pending_drop(struct tni_pending *pending);
enum tn_status tni_pending_publish(const struct tni_folder_store *store,
                                   struct tni_pending *pending, const char *key, bool is_if_absent,
                                   struct tn_object_info *ret_info, struct tn_err *err);
void tni_fill_info(const struct stat *st, struct tn_str key, struct tn_object_info *info);
/* Sorted entries of a folder. Takes over fd. */
struct tni_entry *tni_read_entries(int fd, bool is_root, size_t *ret_count);

/* What a list tells besides: each folder it enters (fd is open, key ends with '/' or is empty),
 * before its entries are read, and each file. */
struct tni_folder_hooks {
    void (*on_folder)(void *ctx, int fd, struct tn_str key);
    void (*on_file)(void *ctx, const struct stat *stat);
    void *ctx;
};
/* hooks may be NULL. */
enum tn_status tni_folder_list(struct tni_folder_store *store, struct tn_object_request *request,
                               const struct tni_folder_hooks *hooks, struct tn_err *err);

/* Each serves one operation of the port. */
enum tn_status tni_upload_start(struct tni_folder_store *store, struct tn_object_request *request,
                                struct tn_err *err);
enum tn_status tni_upload_part(struct tni_folder_store *store, struct tn_object_request *request,
                               struct tn_err *err);
enum tn_status tni_upload_finish(struct tni_folder_store *store, struct tn_object_request *request,
                                 struct tn_err *err);
enum tn_status tni_upload_abort(struct tni_folder_store *store, struct tn_object_request *request,
                                struct tn_err *err);
enum tn_status tni_upload_list(struct tni_folder_store *store, struct tn_object_request *request,
                               struct tn_err *err);
/* Temporary files and uploads that nobody has touched for a week. */
void tni_upload_sweep(const struct tni_folder_store *store);

#endif
