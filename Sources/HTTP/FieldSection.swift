import Bytes

/// Collects the field lines of a head or a trailer section, up to and with the empty line.
struct FieldSection {
    private(set) var headers = HTTPHeaders()
    private var scanner = LineScanner()
    /// Bytes left for the section.
    private var budget: Int
    private let lineLimit: Int
    private let countLimit: Int
    private let overflow: HTTPError

    /// A section of a head of which `used` bytes are taken already.
    init(head limits: HTTPLimits, used: Int) {
        budget = limits.head - used
        lineLimit = limits.fieldLine
        countLimit = limits.fieldCount
        overflow = HTTPError(
            .headTooLarge, "the head is larger than \(limits.head) bytes; send fewer or shorter fields")
    }

    /// A trailer section.
    init(trailers limits: HTTPLimits) {
        budget = limits.trailers
        lineLimit = limits.fieldLine
        countLimit = limits.trailerCount
        overflow = HTTPError(.trailersTooLarge, "the trailers are larger than \(limits.trailers) bytes")
    }

    /// Takes what is there; true when the empty line was taken.
    mutating func advance(_ input: inout ByteQueue) throws(HTTPError) -> Bool {
        while true {
            let limit = min(lineLimit, budget)
            // Out of the closure comes only how much to consume, since it borrows the queue.
            let line = try input.withReadable { (bytes) throws(HTTPError) -> Int? in
                switch try scanner.step(bytes, limit: limit) {
                case .needMore: return nil
                case .tooLong:
                    throw budget < lineLimit
                        ? overflow : HTTPError(.fieldTooLong, "a field line is longer than \(lineLimit) bytes")
                case .line(let count):
                    if count > 0 { try take(UnsafeRawBufferPointer(rebasing: bytes[..<count])) }
                    return count
                }
            }
            guard let line else { return false }
            input.consume(line + 2)
            budget -= line + 2
            if line == 0 { return true }
        }
    }

    private mutating func take(_ line: UnsafeRawBufferPointer) throws(HTTPError) {
        if Grammar.isBlank(line[0]) {
            throw HTTPError(.foldedField, "a field must be on one line; folding is not allowed")
        }
        guard let colon = line.firstIndex(of: 0x3A) else {
            throw HTTPError(.missingColon, "a field line must be name: value")
        }
        let name = UnsafeRawBufferPointer(rebasing: line[..<colon])
        if let last = name.last, Grammar.isBlank(last) {
            throw HTTPError(.whitespaceBeforeColon, "no blank is allowed between a field's name and the colon")
        }
        guard Grammar.isToken(name) else {
            throw HTTPError(.badFieldName, "a field's name must be a token: letters, digits and !#$%&'*+-.^_`|~")
        }
        var start = colon + 1
        var end = line.count
        while start < end, Grammar.isBlank(line[start]) { start += 1 }
        while end > start, Grammar.isBlank(line[end - 1]) { end -= 1 }
        let value = UnsafeRawBufferPointer(rebasing: line[start..<end])
        guard value.allSatisfy(Grammar.isFieldByte) else {
            throw HTTPError(.badFieldValue, "a field's value must not contain control characters")
        }
        if headers.count >= countLimit {
            throw HTTPError(.tooManyFields, "more than \(countLimit) fields")
        }
        headers.append(name: name, value: value)
    }
}
