/* Private to the shell: what its files share. See shell.h. */
#ifndef TN_SQL_SHELL_INT_H
#define TN_SQL_SHELL_INT_H

#include <signal.h>

#include "connectors/http_client.h"
#include "sql/shell.h"

struct tni_shell {
    const struct tn_shell_config *config;
    struct tn_http_client *client;
    bool is_failed;
};

/* Ctrl-C was pressed since this was last set to 0. */
extern volatile sig_atomic_t tni_shell_is_interrupted;

/* Run the complete statements at the start of buf and take them out; is_end: the rest too. Returns
 * how many ran. */
size_t tni_shell_statements(struct tni_shell *shell, struct tn_buf *buf, bool is_end);
/* Nothing but white space and ';'. */
bool tni_shell_is_blank(struct tn_str text);
/* The terminal: until Ctrl-D, exit or quit (shell_edit.c). */
int tni_shell_interactive(struct tni_shell *shell, const char *url);

#endif
