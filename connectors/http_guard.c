/* Which Host and Origin a request may carry, and percent-decoding.
 *
 * Why: a web page elsewhere must not run statements here. A foreign page that reaches this server
 * through the user's browser carries its own Origin; one that uses DNS rebinding carries its own
 * name in Host. So Host must name this machine's loopback, the listen address or a configured name,
 * and an Origin must be the same server or listed.
 * @thread any after open (immutable)
 */
#include "connectors/http_int.h"

#include <string.h>

/* Splits a comma-separated list into at most TNI_HTTP_NAMES_MAX trimmed slices. */
static uint32_t names_split(const char *text, struct tn_str *names)
{
    uint32_t count = 0;
    while (text && *text && count < TNI_HTTP_NAMES_MAX) {
        size_t len = strcspn(text, ",");
        struct tn_str name = {text, len};
        while (name.len && (*name.ptr == ' ' || *name.ptr == '\t')) {
            name.ptr++;
            name.len--;
        }
        while (name.len && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t'))
            name.len--;
        if (name.len)
            names[count++] = name;
        text += len + (text[len] == ',');
    }
    return count;
}

void tni_http_guard_open(struct tn_http_server *server)
{
    server->hosts_count = names_split(server->config.hosts, server->hosts);
    server->origins_count = names_split(server->config.cors_origins, server->origins);
}

/* Without ":port"; brackets of an IPv6 address stay. */
static struct tn_str host_name(struct tn_str host)
{
    if (host.len && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        return end ? (struct tn_str){host.ptr, (size_t)(end - host.ptr) + 1} : host;
    }
    const char *colon = memchr(host.ptr, ':', host.len);
    return colon ? (struct tn_str){host.ptr, (size_t)(colon - host.ptr)} : host;
}

static bool is_loopback_name(struct tn_str name)
{
    if (tn_str_eq_nocase(name, TN_STR("localhost")) || tn_str_eq(name, TN_STR("[::1]")))
        return true;
    if (name.len < 9 || memcmp(name.ptr, "127.", 4) != 0)
        return false;
    int dots = 0;
    for (size_t i = 0; i < name.len; i++) {
        dots += name.ptr[i] == '.';
        if (name.ptr[i] != '.' && (name.ptr[i] < '0' || name.ptr[i] > '9'))
            return false;
    }
    return dots == 3;
}

bool tni_http_host_ok(const struct tn_http_server *server, struct tn_str host)
{
    if (host.len == 0)
        return false;
    struct tn_str name = host_name(host);
    if (is_loopback_name(name) || tn_str_eq_nocase(host, tn_str_of(server->address)))
        return true;
    for (uint32_t i = 0; i < server->hosts_count; i++)
        if (tn_str_eq(server->hosts[i], TN_STR("*")) || tn_str_eq_nocase(server->hosts[i], name) ||
            tn_str_eq_nocase(server->hosts[i], host))
            return true;
    return false;
}

bool tni_http_origin_listed(const struct tn_http_server *server, struct tn_str origin)
{
    for (uint32_t i = 0; i < server->origins_count; i++)
        if (tn_str_eq(server->origins[i], TN_STR("*")) ||
            tn_str_eq_nocase(server->origins[i], origin))
            return true;
    return false;
}

bool tni_http_origin_ok(const struct tn_http_server *server, struct tn_str origin,
                        struct tn_str host)
{
    static const struct tn_str schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < 2; i++) {
        size_t n = schemes[i].len;
        if (host.len && origin.len == n + host.len && memcmp(origin.ptr, schemes[i].ptr, n) == 0 &&
            tn_str_eq_nocase((struct tn_str){origin.ptr + n, origin.len - n}, host))
            return true;
    }
    return tni_http_origin_listed(server, origin);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool tni_http_decode(struct tn_arena *arena, struct tn_str text, struct tn_str *ret_text)
{
    if (!memchr(text.ptr, '%', text.len)) {
        *ret_text = text;
        return !memchr(text.ptr, 0, text.len);
    }
    char *to = tn_arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == 0)
            return false;
        to[len++] = c;
    }
    to[len] = 0;
    *ret_text = (struct tn_str){to, len};
    return true;
}
