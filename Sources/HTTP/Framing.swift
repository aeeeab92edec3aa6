/// Reads the framing fields (RFC 9112, 6) and takes them out of the headers.
enum Framing {
    /// Nil where there is neither field. Whatever could be understood in two ways is refused, duplicates included.
    static func extract(_ headers: inout HTTPHeaders, _ version: HTTPVersion) throws(HTTPError) -> HTTPFraming? {
        // Names that some servers take for the framing fields.
        if headers.contains("Content_Length") || headers.contains("Transfer_Encoding") {
            throw HTTPError(
                .ambiguousFraming, "Content_Length and Transfer_Encoding are not allowed; use the real fields")
        }
        let codings = headers.values("Transfer-Encoding")
        let lengths = headers.values("Content-Length")
        if !codings.isEmpty, !lengths.isEmpty {
            throw HTTPError(.ambiguousFraming, "Content-Length and Transfer-Encoding must not be sent together")
        }
        if let coding = codings.first {
            if version == .http10 {
                throw HTTPError(.transferEncodingInHTTP10, "HTTP/1.0 has no Transfer-Encoding; send Content-Length")
            }
            if codings.count > 1 {
                throw HTTPError(.duplicateTransferEncoding, "Transfer-Encoding may be sent only once")
            }
            try check(coding)
            headers.remove("Transfer-Encoding")
            return .chunked
        }
        guard let length = lengths.first else { return nil }
        if lengths.count > 1 {
            throw HTTPError(.duplicateContentLength, "Content-Length may be sent only once")
        }
        headers.remove("Content-Length")
        return .length(try number(length))
    }

    private static func check(_ coding: String) throws(HTTPError) {
        if Grammar.equalIgnoringCase(coding, "chunked") { return }
        // A list of known-looking codings is one we do not have; anything else is malformed.
        let codings = coding.split(separator: ",", omittingEmptySubsequences: false).map {
            Grammar.trimmed($0).lowercased()
        }
        let isListOfTokens = codings.allSatisfy { Grammar.isToken(Array($0.utf8)) }
        let chunkedOnlyLast = !codings.dropLast().contains("chunked") && codings.last == "chunked"
        if isListOfTokens, chunkedOnlyLast || !codings.contains("chunked") {
            throw HTTPError(.unsupportedTransferEncoding, "the only transfer coding spoken here is chunked")
        }
        throw HTTPError(.badTransferEncoding, "Transfer-Encoding must be exactly: chunked")
    }

    /// 1*DIGIT that fits in an Int.
    private static func number(_ text: String) throws(HTTPError) -> Int {
        // 19 digits hold every Int; more could only be zeros in front.
        guard 1...19 ~= text.utf8.count, text.utf8.allSatisfy(Grammar.isDigit), let value = Int(text) else {
            throw HTTPError(.badContentLength, "Content-Length must be one decimal number")
        }
        return value
    }
}
