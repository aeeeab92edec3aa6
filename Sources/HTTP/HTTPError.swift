/// Why a message was refused, whether it came in or was about to go out.
///
/// A parser that threw one is finished: it rethrows the same error, and its connection is answered with `status` (a
/// server) and closed. Where a message ends is not known any more, so nothing behind it may be read.
public struct HTTPError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What was wrong; `rawValue` is stable and goes into logs, metrics and problem documents.
    public enum Code: String, Sendable, Hashable, CaseIterable {
        // Lines
        case notHTTP = "not_http"
        case bareLF = "bare_lf"
        case bareCR = "bare_cr"
        // Request line
        case badRequestLine = "bad_request_line"
        case badMethod = "bad_method"
        case badTarget = "bad_target"
        case badVersion = "bad_version"
        case unsupportedVersion = "unsupported_version"
        case requestLineTooLong = "request_line_too_long"
        // Fields
        case missingColon = "missing_colon"
        case badFieldName = "bad_field_name"
        case badFieldValue = "bad_field_value"
        case whitespaceBeforeColon = "whitespace_before_colon"
        case foldedField = "folded_field"
        case fieldTooLong = "field_too_long"
        case tooManyFields = "too_many_fields"
        case headTooLarge = "head_too_large"
        case duplicateField = "duplicate_field"
        // Host
        case missingHost = "missing_host"
        case duplicateHost = "duplicate_host"
        case badHost = "bad_host"
        case hostMismatch = "host_mismatch"
        // Framing
        case badContentLength = "bad_content_length"
        case duplicateContentLength = "duplicate_content_length"
        case badTransferEncoding = "bad_transfer_encoding"
        case duplicateTransferEncoding = "duplicate_transfer_encoding"
        case unsupportedTransferEncoding = "unsupported_transfer_encoding"
        case transferEncodingInHTTP10 = "transfer_encoding_in_http10"
        case ambiguousFraming = "ambiguous_framing"
        case forbiddenBody = "forbidden_body"
        case bodyTooLarge = "body_too_large"
        case expectationFailed = "expectation_failed"
        // Chunks
        case badChunkSize = "bad_chunk_size"
        case badChunkExtension = "bad_chunk_extension"
        case chunkLineTooLong = "chunk_line_too_long"
        case chunkExtensionsTooLarge = "chunk_extensions_too_large"
        case badChunkEnd = "bad_chunk_end"
        case forbiddenTrailer = "forbidden_trailer"
        case trailersTooLarge = "trailers_too_large"
        // Responses
        case badStatusLine = "bad_status_line"
        case badStatus = "bad_status"
        case statusLineTooLong = "status_line_too_long"
        case unexpectedResponse = "unexpected_response"
        case unexpectedUpgrade = "unexpected_upgrade"
        case tooManyInterim = "too_many_interim_responses"
        // The end of the connection, and our own writing
        case truncated = "truncated"
        case lengthMismatch = "length_mismatch"
        // Paths and queries
        case badPercentEncoding = "bad_percent_encoding"
        case forbiddenPathByte = "forbidden_path_byte"
        case encodedSlash = "encoded_slash"
        case dotSegment = "dot_segment"
        case notUTF8 = "not_utf8"
        case badQuery = "bad_query"
        case tooManyParameters = "too_many_parameters"
        case missingParameter = "missing_parameter"
        case duplicateParameter = "duplicate_parameter"
    }

    /// What was wrong, stable.
    public let code: Code
    /// The status a server answers with; for a response that a client refused, 502.
    public let status: Int
    /// What was wrong and what to send instead, for people. Contains no bytes of the message.
    public let text: String

    /// An error with the usual status of its code.
    public init(_ code: Code, _ text: String) {
        self.init(code, status: code.status, text)
    }

    /// An error with a status of its own.
    public init(_ code: Code, status: Int, _ text: String) {
        self.code = code
        self.status = status
        self.text = text
    }

    /// Code and text.
    public var description: String { "\(code.rawValue): \(text)" }
}

extension HTTPError.Code {
    /// The status that a server answers a request with that has this fault.
    public var status: Int {
        switch self {
        case .bodyTooLarge: 413
        case .requestLineTooLong: 414
        case .expectationFailed: 417
        case .fieldTooLong, .tooManyFields, .headTooLarge, .trailersTooLarge: 431
        case .unsupportedTransferEncoding: 501
        case .unsupportedVersion: 505
        case .badStatusLine, .badStatus, .statusLineTooLong, .unexpectedResponse, .unexpectedUpgrade, .tooManyInterim:
            502
        case .lengthMismatch: 500
        default: 400
        }
    }
}
