import Enrolment
import Testing

@Suite struct RenewalScheduleTests {
    @Test func halfOfTheValidityGiveOrTakeATenth() {
        let schedule = RenewalSchedule(notBefore: 1_000, notAfter: 2_000)
        #expect(schedule.due(chance: 0.5) == 1_500_000)
        #expect(schedule.due(chance: 0) == 1_450_000)
        #expect(schedule.due(chance: 1) == 1_550_000)
        // What is no chance is taken for the nearest one.
        #expect(schedule.due(chance: 7) == 1_550_000)
    }

    @Test func anAbsenceOfTheCAIsKeptInHand() {
        let schedule = RenewalSchedule(notBefore: 0, notAfter: 1_000, absence: 800)
        #expect(schedule.due(chance: 0.5) == 200_000)
        #expect(!schedule.isTooShortForAbsence)
        let half = RenewalSchedule(notBefore: 0, notAfter: 1_000, absence: 10)
        #expect(half.due(chance: 0.5) == 500_000)
        let tooLong = RenewalSchedule(notBefore: 0, notAfter: 1_000, absence: 5_000)
        #expect(tooLong.due(chance: 0.5) == 100_000)
        #expect(tooLong.isTooShortForAbsence)
    }

    @Test(
        arguments: [
            // The first window begins with the list, whenever somebody begins to wait.
            (1_000, false, 0, 1_000), (1_000, false, 1, 1_600), (1_500, false, 0, 1_500), (1_500, false, 1, 1_600),
            (1_500, false, 0.5, 1_550), (1_599, false, 1, 1_600),
            // Then the second.
            (1_600, false, 1, 2_200), (2_100, false, 1, 2_200),
            // Who comes later is awaited.
            (2_200, false, 1, 2_260), (90_000, false, 1, 90_060), (90_000, false, 0, 90_000),
            // In vain: within the next one.
            (1_000, true, 0, 1_600), (1_500, true, 0, 1_600), (1_500, true, 1, 2_200), (2_300, true, 0.5, 3_100),
            // By a clock that is ahead.
            (400, false, 1, 1_000), (400, true, 0, 1_000),
        ] as [(Int64, Bool, Double, Int64)])
    func anotherRootIsAskedForWithinWindows(now: Int64, isAgain: Bool, chance: Double, due: Int64) {
        #expect(
            RenewalSchedule.rootDue(listed: 1_000, now: now, window: 600, isAgain: isAgain, chance: chance) == due)
    }

    @Test func pausesGrowToATwentiethAndSpread() {
        let schedule = RenewalSchedule(notBefore: 0, notAfter: 86_400)
        #expect(schedule.pause(attempt: 1, chance: 0) == 1_000)
        #expect(schedule.pause(attempt: 1, chance: 1) == 2_000)
        #expect(schedule.pause(attempt: 3, chance: 1) == 8_000)
        #expect(schedule.pause(attempt: 60, chance: 1) == 4_320_000)
        #expect(schedule.pause(attempt: 60, chance: 0) == 2_160_000)
        // From half of its life on at least ten attempts are left, whatever chance says.
        #expect(schedule.pause(attempt: 60, chance: 1) * 10 <= 43_200_000)
        #expect(RenewalSchedule(notBefore: 0, notAfter: 4).pause(attempt: 9, chance: 1) == 500)
    }

    @Test(
        arguments: [
            (365, [30, 14, 7, 1]), (90, [22.5, 14, 7, 1]), (40, [10, 7, 1]), (8, [2, 1]), (1, [0.25]),
        ] as [(Int64, [Double])])
    func warningsLieWithinAQuarterOfTheValidity(days: Int64, expected: [Double]) {
        let schedule = RenewalSchedule(notBefore: 0, notAfter: days * 86_400)
        #expect(schedule.warnings.map { Double($0) / 86_400 } == expected)
    }
}
