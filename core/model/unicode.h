#pragma once

// What of Unicode the tokenizer needs, with Python's meanings (training spec 6).

#include <string>
#include <string_view>

namespace hfwa::model {

// `text` must be valid UTF-8.
std::u32string DecodeUtf8(std::string_view text);
std::string EncodeUtf8(std::u32string_view text);

bool IsLetter(char32_t code);  // general category L
bool IsNumber(char32_t code);  // general category N
// What regular expressions call whitespace; Python's strip also removes U+001C to U+001F.
bool IsSpace(char32_t code);
bool IsStripped(char32_t code);

// str.lower(): full mapping, final sigma by its context.
std::u32string ToLower(std::u32string_view text);

// html.unescape(): numeric references and HTML5's named ones, with and without the semicolon.
std::u32string UnescapeHtml(std::u32string_view text);

}  // namespace hfwa::model
