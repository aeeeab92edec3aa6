import Foundation
import PKI
import TestPrograms
import Testing

/// What is kept of answers, and for how long.
@Suite struct OCSPCacheTests {
    private static let answers = Result {
        let register = try OCSPRegister(in: NSTemporaryDirectory() + "ocsp-cache-\(getpid())", name: "Cache CA")
        let leaf = try register.issue("leaf")
        func load(_ file: String) throws -> Certificate {
            try Certificate.parsePEM([UInt8](Data(contentsOf: URL(fileURLWithPath: file))))[0]
        }
        let subject = OCSPSubject(try load(leaf.certificate), issuer: try load(register.authority.certificate))
        let now = Int64(time(nil)) + 60
        try register.set(leaf.certificate, .good)
        let good = try register.respond(to: try subject.request(), options: ["-nmin", "60"])
        // The responder knows whole seconds only.
        let start = time(nil)
        while time(nil) <= start { usleep(50_000) }
        try register.set(leaf.certificate, .revoked("keyCompromise"))
        let revoked = try register.respond(to: try subject.request(), options: ["-nmin", "60"])
        return (
            try OCSPAnswer(der: good, about: subject, now: now), try OCSPAnswer(der: revoked, about: subject, now: now)
        )
    }

    @Test func answersCountUntilTheirEnd() throws {
        let (good, _) = try Self.answers.get()
        var cache = OCSPCache()
        #expect(cache.knowledge(of: "a", at: good.thisUpdate) == nil)
        cache.note(good, of: "a", at: good.thisUpdate)
        #expect(cache.knowledge(of: "a", at: good.validUntil - 1) == .answer(.good))
        #expect(cache.knowledge(of: "a", at: good.validUntil) == nil)
        #expect(cache.validity(of: "a", at: good.thisUpdate) == good.thisUpdate..<good.validUntil)
        #expect(cache.validity(of: "a", at: good.validUntil) == nil)
    }

    /// An older answer that is still valid does not hide that the certificate has been revoked since.
    @Test func olderAnswersAreNotPlayedAgain() throws {
        let (good, revoked) = try Self.answers.get()
        var cache = OCSPCache()
        let now = revoked.thisUpdate
        let newer = [good, revoked, good, revoked].map { cache.note($0, of: "a", at: now) }
        #expect(newer == [true, true, false, false])
        #expect(cache.knowledge(of: "a", at: now) == .answer(revoked.status))
    }

    @Test func failuresAreRememberedShortly() throws {
        let (good, _) = try Self.answers.get()
        var cache = OCSPCache()
        let now = good.thisUpdate
        cache.noteFailure("down", of: "a", at: now)
        #expect(cache.knowledge(of: "a", at: now + OCSPCache.failureMemory - 1) == .failed("down"))
        #expect(cache.knowledge(of: "a", at: now + OCSPCache.failureMemory) == nil)
        cache.note(good, of: "a", at: now)
        cache.noteFailure("down", of: "a", at: now)
        #expect(cache.knowledge(of: "a", at: now) == .answer(.good))
        #expect(cache.knowledge(of: "a", at: good.validUntil) == nil)
    }

    @Test func itIsBounded() throws {
        let (good, _) = try Self.answers.get()
        var cache = OCSPCache(capacity: 3)
        let now = good.thisUpdate
        cache.note(good, of: "kept", at: now)
        for index in 0..<10 {
            cache.noteFailure("down", of: "\(index)", at: now + Int64(index))
            #expect(cache.count <= 3)
        }
        #expect(cache.knowledge(of: "kept", at: now) == .answer(.good))
        #expect(cache.knowledge(of: "9", at: now + 9) == .failed("down"))
    }
}
