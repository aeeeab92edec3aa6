import Audit
import JSON
import PKI
import Testing

@Suite struct AuditVerifierTests {
    @Test func nothingIsWrongWithAGoodLog() throws {
        let log = try Fixture(files: 3)
        let verifier = log.verified()
        #expect(verifier.findings.isEmpty, "\(verifier.findings)")
        #expect(verifier.records == 24 && verifier.first == 1 && verifier.last == 24)
        #expect(verifier.sealed == 24, "the seal that lies beside it")
        #expect(verifier.hash == log.chain.hash && verifier.log == "0011")
        #expect(log.found(receipts: []).isEmpty)
        #expect(log.found(key: nil).isEmpty)
    }

    /// Each byte of each line, one after the other.
    @Test func everyChangedByteIsFound() throws {
        let log = try Fixture(files: 1)
        for index in log.files[0].lines.indices {
            for byte in log.files[0].lines[index].indices.dropLast() {
                var changed = log
                changed.files[0].lines[index][byte] ^= 1
                #expect(!changed.found().isEmpty, "line \(index + 1), byte \(byte)")
            }
        }
    }

    @Test func aRemovedRecord() throws {
        let log = try Fixture()
        for file in 0..<2 {
            for line in log.files[file].lines.indices {
                var cut = log
                cut.files[file].lines.remove(at: line)
                let found = cut.found()
                // Of the very last one only its seal tells; a file's first one is missed in more than one way.
                let isLast = file == 1 && line == log.files[1].lines.count - 1
                #expect(found.contains(isLast ? .truncated : .removed), "\(file), \(line): \(found)")
            }
        }
    }

    @Test func movedAndRepeatedRecords() throws {
        let log = try Fixture()
        var swapped = log
        swapped.files[0].lines.swapAt(2, 3)
        #expect(swapped.found() == [.reordered])
        var far = log
        far.files[1].lines.insert(far.files[0].lines.remove(at: 5), at: 4)
        #expect(far.found().contains(.reordered), "\(far.found())")
        var twice = log
        twice.files[0].lines.insert(twice.files[0].lines[2], at: 4)
        #expect(twice.found() == [.reordered])
        var files = log
        files.files.swapAt(0, 1)
        #expect(!files.found().isEmpty)
    }

    @Test func anEndThatWasCutOff() throws {
        let log = try Fixture()
        for count in 1...8 {
            var cut = log
            cut.files[1].lines.removeLast(count)
            #expect(cut.found() == [.truncated], "\(count) records")
        }
        var cut = log
        cut.files.removeLast()
        #expect(cut.found() == [.truncated], "a whole file")
        cut.files.removeLast()
        #expect(cut.found() == [.truncated], "everything")
        // Without a seal from elsewhere nobody can know.
        cut = log
        cut.files[1].lines.removeLast(2)
        #expect(cut.found(receipts: []).isEmpty)
    }

    /// Whoever can write the files and has not the key makes a new chain from the record that he changes.
    @Test func aLogThatWasWrittenAnew() throws {
        let log = try Fixture(files: 1)
        var forged = log
        var chain = AuditChain(log: "0011")
        for index in forged.files[0].lines.indices {
            let line = try AuditLine(parsing: Array(forged.files[0].lines[index].dropLast()))
            let record = try AuditRecord(content: line.content)
            forged.files[0].lines[index] = chain.append(
                time: record.time, event: index == 2 ? "harmless" : record.event, category: record.category,
                severity: record.severity, fields: record.fields)
        }
        #expect(forged.found(key: nil, receipts: []).contains(.rewritten), "the seals show it without the key")
        #expect(forged.found().contains(.rewritten))
        // With seals by a key of his own.
        chain = AuditChain(log: "0011")
        var lines = [try chain.open(time: "t", node: "n", torn: 0, by: Fixture.other)]
        lines.append(chain.append(time: "t", event: "harmless", category: .ca, severity: "info", fields: [:]))
        lines.append(try chain.checkpoint(time: "t", by: Fixture.other))
        forged.files[0].lines = lines
        #expect(forged.found(receipts: []).contains(.badSeal))
        #expect(forged.found(key: nil, receipts: []).isEmpty)
    }

    @Test func filesOfAnotherLog() throws {
        let log = try Fixture()
        var mixed = log
        var other = AuditChain(log: "2233", sequence: log.chain.sequence, hash: log.chain.hash)
        mixed.files.append(
            (AuditFileName.name(first: 17), [try other.open(time: "t", node: "n", torn: 0, by: Fixture.key)]))
        #expect(mixed.found() == [.otherLog])
    }

    /// A record that was being written when the agent was killed.
    @Test func aTornRecord() throws {
        var log = try Fixture(files: 1)
        let half = Array(log.files[0].lines[2].prefix(30))
        log.torn[log.files[0].name] = half
        #expect(log.found().isEmpty, "at the very end")
        #expect(log.verified().torn == 30)
        try log.open(torn: 30)
        log.add("after")
        #expect(log.found().isEmpty, "the next file knows of it")
        #expect(log.verified().torn == 0)
        log.torn[log.files[0].name] = half + half
        #expect(log.found() == [.changed], "more than that")
        var silent = try Fixture(files: 2)
        silent.torn[silent.files[0].name] = half
        #expect(silent.found() == [.changed], "nobody was killed")
    }

    @Test func olderFilesThatWereRemoved() throws {
        var log = try Fixture(files: 2)
        log.add(AuditChain.removedEvent, ["through": 8])
        try log.checkpoint()
        let whole = log
        log.files.removeFirst()
        #expect(log.found().isEmpty, "\(log.verified().findings)")
        #expect(log.verified().first == 9)
        var unsaid = try Fixture(files: 3)
        unsaid.files.removeFirst()
        #expect(unsaid.found() == [.removed])
        // One in the middle is never removed by the agent.
        var hole = try Fixture(files: 3)
        hole.files.remove(at: 1)
        #expect(hole.found().contains(.removed))
        #expect(whole.found().isEmpty)
    }

    @Test func receipts() throws {
        var log = try Fixture(files: 1)
        let early = try log.chain.seal(by: Fixture.key)
        log.add("later")
        #expect(log.found(receipts: [early]).isEmpty)
        #expect(log.verified(receipts: [early]).sealed == 8)
        let forged = try AuditSeal(log: "0011", sequence: 8, hash: .zero, by: Fixture.key)
        #expect(log.found(receipts: [forged]) == [.rewritten])
        #expect(log.found(receipts: [try log.chain.seal(by: Fixture.other)]).contains(.badSeal))
    }

    @Test func notALog() {
        var verifier = AuditVerifier(key: nil)
        verifier.read(file: "x", Array("hello\n\nworld".utf8))
        verifier.finish()
        #expect(verifier.findings.map(\.kind) == [.changed, .changed])
        #expect(verifier.torn == 5)
        #expect(verifier.json["ok"]?.bool == false)
    }

    @Test func findingsHaveABound() {
        var verifier = AuditVerifier(key: nil)
        verifier.read(file: "x", Array(String(repeating: "?\n", count: 500).utf8))
        #expect(verifier.findings.count == AuditVerifier.maximumFindings)
        #expect(verifier.furtherFindings == 400)
    }
}
