/* What changed below a folder since somebody looked last: the kernel's notices (inotify) instead of
 * a walk over ten thousand files.
 *
 * A list through the watch enters every folder's watch before it reads the folder; a change that is
 * complete when tn_folder_watch_changes is called is either in that list or among the changes.
 * Notices name what to look at, never what is there: the caller looks (tn_folder_watch_head, or a
 * list of the folder).
 *
 * NOT TOLD by the kernel: writes through a mapping after its descriptor was closed, through another
 * hard link, and by other machines; mounts. So folders of network file systems and files with
 * several links are not watched (the answer is "list again"), and the caller walks now and then.
 *
 * Ownership: the store outlives the watch. @thread one at a time
 */
#ifndef TN_CONNECTORS_FOLDER_WATCH_H
#define TN_CONNECTORS_FOLDER_WATCH_H

#include "stream/object_store.h"

#define TN_FOLDER_WATCH_FOLDERS 8192 /* more are walked */

struct tn_folder_watch;

/* NULL: another kind of store, a file system that tells nothing, or the limit of the user's inotify
 * instances is reached. */
struct tn_folder_watch *tn_folder_watch_open(struct tn_object_store *base, uint32_t folders_max);
void tn_folder_watch_close(struct tn_folder_watch *watch); /* NULL is a no-op */

/* Objects below prefix ("" or a folder's key with '/'), as tn_object_list gives them; the folders
 * entered are watched from now on. The list of "" forgets all changes of before. */
enum tn_status tn_folder_watch_list(struct tn_folder_watch *watch, const char *prefix,
                                    bool (*each)(void *ctx, const struct tn_object_info *info),
                                    void *ctx, struct tn_err *err);
/* After a list of "": the folder cannot be followed (too many folders, a limit of the kernel, files
 * with several links). */
bool tn_folder_watch_is_lost(const struct tn_folder_watch *watch);
/* Keys that may have changed since the last call, in byte order, each once: of objects, and of
 * folders ('/' at the end), which have to be listed; nothing below a folder is named besides. They
 * live until the next call. TN_END: not known, list "" again. */
enum tn_status tn_folder_watch_changes(struct tn_folder_watch *watch, const char *const **ret_keys,
                                       uint32_t *ret_count);
/* The object of that key; false: there is none. */
bool tn_folder_watch_head(struct tn_folder_watch *watch, const char *key,
                          struct tn_object_info *ret_info);

#endif
