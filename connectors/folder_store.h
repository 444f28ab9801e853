/* Object store adapter: a folder of the local file system. An object is a file; '/' in keys makes
 * sub-folders. Opening creates the folder. See stream/object_store.h for the contract. */
#ifndef TN_CONNECTORS_FOLDER_STORE_H
#define TN_CONNECTORS_FOLDER_STORE_H

#include "stream/object_store.h"

enum tn_status tn_folder_store_open(const char *path, struct tn_object_store **ret_store,
                                    struct tn_err *err);

#endif
