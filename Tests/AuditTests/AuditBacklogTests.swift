import Audit
import Testing

@Suite struct AuditBacklogTests {
    /// However many strangers' events wait, there is room for what somebody known does.
    @Test func strangersTakeNobodysRoom() {
        var backlog = AuditBacklog()
        let strangers = (0..<100_000).count { _ in backlog.admits(isStrangers: true, at: 0) }
        #expect(strangers == AuditBacklog.capacity.strangers)
        let known = (0..<AuditBacklog.capacity.known).count { _ in backlog.admits(isStrangers: false, at: 0) }
        #expect(known == AuditBacklog.capacity.known)
        #expect(backlog.lost == .init(strangers: 100_000 - strangers))
        let admits = backlog.admits(isStrangers: false, at: 0)
        #expect(!admits && backlog.lost.known == 1, "what somebody known has done is lost, and counted as such")
    }

    /// What was written makes room for its like.
    @Test func whatLeavesMakesRoom() {
        var backlog = AuditBacklog()
        while backlog.admits(isStrangers: true, at: 0) {}
        while backlog.admits(isStrangers: false, at: 0) {}
        #expect(backlog.takeLost() == .init(known: 1, strangers: 1))
        #expect(backlog.lost.total == 0)
        backlog.left(isStrangers: true)
        let second = backlog.admits(isStrangers: false, at: 0)
        #expect(!second)
        let first = backlog.admits(isStrangers: true, at: 0)
        #expect(first)
        backlog.add(lost: .init(known: 2, strangers: 3))
        #expect(backlog.takeLost() == .init(known: 3, strangers: 3))
    }

    /// How long somebody known has waited is known, whatever comes and goes in between.
    @Test func theOldestIsKnown() {
        var backlog = AuditBacklog()
        #expect(backlog.oldestKnown == nil)
        var (came, gone) = (UInt64(0), UInt64(0))
        // More than the room there is, so that every place is used again.
        for _ in 0..<5 {
            for _ in 0..<5000 {
                came += 1
                let isAdmitted = backlog.admits(isStrangers: false, at: came)
                #expect(isAdmitted)
                _ = backlog.admits(isStrangers: true, at: came)
            }
            #expect(backlog.oldestKnown == gone + 1)
            for _ in 0..<4500 {
                gone += 1
                backlog.left(isStrangers: false)
            }
            #expect(backlog.oldestKnown == gone + 1)
        }
        while gone < came {
            gone += 1
            backlog.left(isStrangers: false)
        }
        #expect(backlog.oldestKnown == nil, "strangers' wait counts for nothing")
    }
}
