import JSON

/// Any bytes: either the same error with a place inside of the text both ways of reading, or a value that is written
/// and read again as the same. What is strict JSON is also JSON5.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let strict = check(input, .strict)
    let json5 = check(input, .json5)
    if let strict { precondition(json5 == strict, "strict JSON is JSON5") }
    return 0
}

private func check(_ input: UnsafeRawBufferPointer, _ dialect: JSONDialect) -> JSONValue? {
    let value: JSONValue
    do {
        value = try JSONReader.parse(input, dialect: dialect)
    } catch {
        precondition(error.line >= 1 && error.column >= 1 && error.column <= input.count + 1, "place")
        precondition(!error.message.isEmpty, "message")
        do {
            _ = try JSONReader.parseDocument(input, dialect: dialect)
            preconditionFailure("refused as a value only")
        } catch let second {
            precondition(second == error, "the same error")
        }
        return nil
    }
    guard let document = try? JSONReader.parseDocument(input, dialect: dialect) else {
        preconditionFailure("refused as a document only")
    }
    precondition(document.value == value, "the same value")
    checkRanges(document.root, input, dialect)
    for layout in [JSONWriter.Layout.compact, .pretty, .canonical] {
        let text = value.serialized(layout)
        guard let again = try? JSONReader.parse(text) else { preconditionFailure("written text is refused") }
        precondition(again == value, "written and read")
        precondition(again.serialized(layout) == text, "deterministic")
    }
    return value
}

/// The bytes of every value, read alone, give the same value.
private func checkRanges(_ node: JSONNode, _ input: UnsafeRawBufferPointer, _ dialect: JSONDialect) {
    precondition(node.range.upperBound <= input.count, "range")
    switch node.content {
    case .array(let elements):
        for element in elements { checkRanges(element, input, dialect) }
    case .object(let members):
        for member in members { checkRanges(member.value, input, dialect) }
    default:
        let part = try? JSONReader.parse(UnsafeRawBufferPointer(rebasing: input[node.range]), dialect: dialect)
        precondition(part == node.value, "a value's own bytes")
    }
}
