/* Prints a JSON result document of POST /sql as a text table. Folder-private. */
#ifndef TN_SQL_SHELL_TABLE_H
#define TN_SQL_SHELL_TABLE_H

#include <stdio.h>
#include "stream/base/str.h"

/* A terminal that is too narrow gets a line per value.
 * {"columns":[{"name","type"}…],"rows":[[…]…]}; numbers are right-aligned; NULL as ∅ is not used:
 * empty cells are empty text, NULL prints as NULL. Anything else is printed as it is. */
void tni_shell_table(struct tn_str document, FILE *out);

#endif
