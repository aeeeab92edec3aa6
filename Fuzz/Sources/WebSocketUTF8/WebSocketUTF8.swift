import FuzzSupport
import WebSocket

/// The streaming validator against Swift's own: whole, cut in two, and byte by byte.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let expected = String(validating: input, as: UTF8.self) != nil
    require(UTF8Validator.isValid(input) == expected, "whole")

    let cut = count == 0 ? 0 : Int(input[0]) % (count + 1)
    var halves = UTF8Validator()
    let good =
        halves.append(UnsafeRawBufferPointer(rebasing: input[..<cut]))
        && halves.append(UnsafeRawBufferPointer(rebasing: input[cut...]))
    require((good && halves.isComplete) == expected, "cut in two")

    var single = UTF8Validator()
    let all = input.indices.allSatisfy { single.append(UnsafeRawBufferPointer(rebasing: input[$0...$0])) }
    require((all && single.isComplete) == expected, "byte by byte")
    return 0
}
