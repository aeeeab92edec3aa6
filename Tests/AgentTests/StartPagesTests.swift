import Agent
import Foundation
import JSON
import Testing

@Suite(.serialized) struct StartPagesTests {
    /// Resident KiB of the mappings of this program's own file that nobody has written to.
    private func residentCode() throws -> Int {
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var isOurs = false
        var sum = 0
        for line in try String(contentsOfFile: "/proc/self/smaps", encoding: .utf8).split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            if words.count > 1, words[0].contains("-"), words[1].count == 4 {
                isOurs = line.hasSuffix(program) && !words[1].contains("w")
            } else if isOurs, words.count > 1, words[0] == "Rss:" {
                sum += Int(words[1]) ?? 0
            }
        }
        return sum
    }

    @Test func codeIsGivenBackAndComesBack() throws {
        let text = #"{"a":[1,2.5,"x"],"b":{"c":null}}"#
        let before = try residentCode()
        StartPages.release()
        let after = try residentCode()
        #expect(before > 0 && after < before, "\(before) KiB before, \(after) KiB after")
        for _ in 0..<3 {
            StartPages.release()
            // Code, constants, metadata and unwinding tables are as they were.
            #expect(try JSONReader.parse(text).text() == text)
            #expect(throws: JSONError.self) { try JSONReader.parse("{") }
        }
    }
}
