import Testing
import WebSocket

/// The tables of `Cases/`, each case in many ways: see `ConformanceCase.check`.
@Suite struct ConformanceTests {
    @Test(arguments: FramingCases.lengths) func lengths(_ item: ConformanceCase) { item.check() }
    @Test(arguments: FramingCases.lengthForms) func lengthForms(_ item: ConformanceCase) { item.check() }
    @Test(arguments: FramingCases.reservedBits) func reservedBits(_ item: ConformanceCase) { item.check() }
    @Test(arguments: FramingCases.reservedOpcodes) func reservedOpcodes(_ item: ConformanceCase) { item.check() }
    @Test(arguments: ControlCases.pings) func pings(_ item: ConformanceCase) { item.check() }
    @Test(arguments: ControlCases.shapes) func controlShapes(_ item: ConformanceCase) { item.check() }
    @Test(arguments: FragmentationCases.accepted) func fragments(_ item: ConformanceCase) { item.check() }
    @Test(arguments: FragmentationCases.refused) func wrongFragments(_ item: ConformanceCase) { item.check() }
    @Test(arguments: CloseCases.codes) func closeCodes(_ item: ConformanceCase) { item.check() }
    @Test(arguments: CloseCases.payloads) func closePayloads(_ item: ConformanceCase) { item.check() }
    @Test(arguments: CloseCases.order) func afterClose(_ item: ConformanceCase) { item.check() }
    @Test(arguments: LimitCases.all) func limits(_ item: ConformanceCase) { item.check() }

    @Test(arguments: FramingCases.masks.indices) func masks(_ index: Int) {
        let item = FramingCases.masks[index]
        for role in [Role.server, .client] {
            var frames = item.frames
            let last = frames.removeLast().with { $0.masked = role == .client }
            let violation = role == .server ? Violation.unmaskedFrame : .maskedFrame
            let before = frames.map { "text:\(describe($0.payload))" }
            ConformanceCase.refused(item.name, frames + [last], after: before, violation).check(roles: [role])
        }
    }

    /// Text in one frame, in one frame for each byte, and cut in two at each place: also within characters.
    @Test(arguments: UTF8Sample.all.indices) func text(_ index: Int) {
        let sample = UTF8Sample.all[index]
        let bytes = sample.bytes
        var shapes: [[TestFrame]] = [[.text(bytes)]]
        shapes.append([.text([], fin: false)] + bytes.map { .more([$0]) } + [.last([])])
        for cut in bytes.indices {
            shapes.append([.text(Array(bytes[..<cut]), fin: false), .last(Array(bytes[cut...]))])
        }
        for frames in shapes {
            let item =
                sample.failsAt == nil
                ? ConformanceCase(
                    sample.name, frames + [.ping("after")], ["text:\(describe(bytes))", "ping:after"],
                    sends: ["pong:after"])
                : .refused(sample.name, frames, .invalidUTF8, 1007)
            item.check(chunkings: [.whole, .bytes(1), .random(3)])
        }
        // As binary, and in pings, everything goes.
        ConformanceCase(sample.name, [.binary(bytes)], ["binary:\(describe(bytes))"]).check(chunkings: [.whole])
    }

    /// A text that is wrong is refused with its first wrong byte, although its frame promises more.
    @Test(arguments: UTF8Sample.invalidSamples.indices) func textFailsFast(_ index: Int) throws {
        let sample = UTF8Sample.invalidSamples[index]
        let at = try #require(sample.failsAt)
        for role in [Role.server, .client] {
            let frame = TestFrame(fin: false, opcode: 1, payload: sample.bytes, claims: 100)
            let input = frame.encoded(masked: role == .server)
            var connection = makeConnection(role)
            let transcript = play(input, into: &connection, chunking: .bytes(1))
            #expect(transcript.events == ["fail:invalid_utf8"])
            #expect(transcript.failedAt == input.count - sample.bytes.count + at + 1)
        }
    }

    @Test func thereAreEnoughCases() {
        let tables = [
            FramingCases.lengths, FramingCases.lengthForms, FramingCases.reservedBits, FramingCases.reservedOpcodes,
            ControlCases.pings, ControlCases.shapes, FragmentationCases.accepted, FragmentationCases.refused,
            CloseCases.codes, CloseCases.payloads, CloseCases.order, LimitCases.all,
        ]
        let count = tables.reduce(0) { $0 + $1.count } + FramingCases.masks.count + UTF8Sample.all.count
        #expect(count >= 250, "\(count) cases")
    }
}
