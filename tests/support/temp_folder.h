/* A folder of its own for a test, removed at the end. */
#ifndef TN_TESTS_SUPPORT_TEMP_FOLDER_H
#define TN_TESTS_SUPPORT_TEMP_FOLDER_H

#include <stddef.h>

/* Makes <TMPDIR or /tmp>/tarn-test-XXXXXX; aborts when it cannot. */
void temp_folder_make(char *path, size_t path_size);
/* Removes the folder and everything in it. */
void temp_folder_remove(const char *path);

#endif
