/* A pull reader for S3's XML; see s3_xml.h. */
#include "connectors/s3_xml.h"

#include <stdlib.h>

#include "stream/base/utf8.h"

#define TEXT_MAX ((size_t)64 << 10)

void tni_xml_init(struct tni_xml *xml, struct tn_str document)
{
    *xml = (struct tni_xml){.ptr = document.ptr, .end = document.ptr + document.len};
    tn_buf_init(&xml->text, TEXT_MAX);
}

void tni_xml_release(struct tni_xml *xml)
{
    tn_buf_release(&xml->text);
}

/* "&amp;" and friends at *ptr; the byte behind, or NULL. */
static const char *add_entity(const char *ptr, const char *end, struct tn_buf *text)
{
    static const struct {
        const char *name;
        char byte;
    } known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    const char *stop = memchr(ptr, ';', (size_t)(end - ptr) < 12 ? (size_t)(end - ptr) : 12);
    if (!stop)
        return NULL;
    struct tn_str name = {ptr + 1, (size_t)(stop - ptr - 1)};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (tn_str_eq(name, tn_str_of(known[i].name))) {
            tn_buf_add_byte(text, known[i].byte);
            return stop + 1;
        }
    if (name.len < 2 || name.ptr[0] != '#')
        return NULL;
    bool is_hex = name.ptr[1] == 'x';
    char *after, utf8[4];
    unsigned long code = strtoul(name.ptr + (is_hex ? 2 : 1), &after, is_hex ? 16 : 10);
    if (after != stop || code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return NULL;
    tn_buf_add(text, utf8, tn_utf8_put((uint32_t)code, utf8));
    return stop + 1;
}

/* Text up to the next '<'. */
static bool take_text(struct tni_xml *xml)
{
    while (xml->ptr < xml->end && *xml->ptr != '<') {
        if (*xml->ptr != '&') {
            tn_buf_add_byte(&xml->text, *xml->ptr++);
            continue;
        }
        xml->ptr = add_entity(xml->ptr, xml->end, &xml->text);
        if (!xml->ptr) {
            xml->ptr = xml->end;
            return false;
        }
    }
    return !tn_buf_over(&xml->text);
}

static const char *find(const char *from, const char *end, const char *what)
{
    return memmem(from, (size_t)(end - from), what, strlen(what));
}

/* <?…?>, <!--…-->, <![CDATA[…]]>. False: something else that begins with "<!", or unended. */
static bool take_special(struct tni_xml *xml)
{
    static const struct {
        const char *start, *stop;
    } kinds[] = {{"<?", "?>"}, {"<!--", "-->"}, {"<![CDATA[", "]]>"}};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(kinds[i].start);
        if ((size_t)(xml->end - xml->ptr) < len || memcmp(xml->ptr, kinds[i].start, len) != 0)
            continue;
        const char *stop = find(xml->ptr + len, xml->end, kinds[i].stop);
        if (!stop)
            return false;
        if (i == 2)
            tn_buf_add(&xml->text, xml->ptr + len, (size_t)(stop - xml->ptr) - len);
        xml->ptr = stop + strlen(kinds[i].stop);
        return true;
    }
    return false;
}

static size_t name_length(const char *ptr, const char *end)
{
    size_t len = 0;
    while (ptr + len < end && !strchr(" \t\r\n/><=\"'&", ptr[len]))
        len++;
    return len;
}

/* Behind the '>' of an opening tag; attributes are skipped, '>' within quotes too. */
static bool skip_attributes(struct tni_xml *xml)
{
    for (char quote = 0; xml->ptr < xml->end; xml->ptr++) {
        if (quote) {
            quote = *xml->ptr == quote ? 0 : quote;
        } else if (*xml->ptr == '"' || *xml->ptr == '\'') {
            quote = *xml->ptr;
        } else if (*xml->ptr == '>') {
            xml->is_empty_close = xml->ptr[-1] == '/';
            xml->ptr++;
            return true;
        } else if (*xml->ptr == '<') {
            return false;
        }
    }
    return false;
}

static enum tni_xml_event take_open(struct tni_xml *xml)
{
    size_t len = name_length(xml->ptr + 1, xml->end);
    if (len == 0 || xml->depth + 1 >= TNI_XML_DEPTH_MAX)
        return TNI_XML_BAD;
    xml->name = (struct tn_str){xml->ptr + 1, len};
    xml->ptr += 1 + len;
    if (!skip_attributes(xml))
        return TNI_XML_BAD;
    tn_buf_reset(&xml->text);
    return TNI_XML_OPEN;
}

static enum tni_xml_event take_close(struct tni_xml *xml)
{
    size_t len = name_length(xml->ptr + 2, xml->end);
    struct tn_str name = {xml->ptr + 2, len};
    const char *stop = memchr(xml->ptr, '>', (size_t)(xml->end - xml->ptr));
    if (!stop || xml->depth == 0 || !tn_str_eq(name, xml->names[xml->depth - 1]))
        return TNI_XML_BAD;
    xml->ptr = stop + 1;
    xml->name = xml->names[--xml->depth];
    return TNI_XML_CLOSE;
}

static enum tni_xml_event next_event(struct tni_xml *xml)
{
    for (;;) {
        if (!take_text(xml))
            return TNI_XML_BAD;
        if (xml->ptr == xml->end)
            return xml->depth == 0 && xml->name.ptr ? TNI_XML_END : TNI_XML_BAD;
        if (xml->end - xml->ptr < 3)
            return TNI_XML_BAD;
        if (xml->ptr[1] == '/')
            return take_close(xml);
        if (xml->ptr[1] != '!' && xml->ptr[1] != '?')
            return take_open(xml);
        if (!take_special(xml))
            return TNI_XML_BAD;
    }
}

enum tni_xml_event tni_xml_next(struct tni_xml *xml)
{
    if (xml->is_empty_close) { /* the name stays */
        xml->is_empty_close = false;
        return TNI_XML_CLOSE;
    }
    if (xml->is_after_close)
        tn_buf_reset(&xml->text);
    enum tni_xml_event event = next_event(xml);
    if (event == TNI_XML_OPEN && !xml->is_empty_close)
        xml->names[xml->depth++] = xml->name;
    xml->is_after_close = event == TNI_XML_CLOSE;
    return event;
}
