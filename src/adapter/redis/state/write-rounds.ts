/**
 * Rounds of the writes of one node's clients to several groups. A group has one entry under way, and what comes meanwhile waits for its next one. Clients
 * that write to several groups, each now to this one and now to that, are answered by rounds that begin at different moments: whoever comes waits for what is
 * left of one round and then for a whole one, an entry has a part of what it could have, and nearly every request is a frame by itself. So writes leave
 * together, to all groups, when those that left before are answered and the crowd that was answered is back (`CrowdGathering`).
 *
 * Nothing here decides what happens to a write or in which order, only when it leaves. Where few write, or all to one group, nobody waits. A round that takes
 * longer than usual, for a group that is slower than others or has no leader, is waited for no longer, and then some rounds are not waited for at all.
 */
import {
  type Cancel,
  type Clock,
  CrowdGathering,
  type GroupId,
  type Millis,
  type Scheduler,
} from '../../../platform/index.ts';

/** Members under way from which on rounds save more than they cost. */
const LEAST_CROWD = 8;
/** Rounds one after the other that had fewer, or of one group only, after which there are none. */
const IDLE_ROUNDS = 16;
/** Turns of the event loop that a round waits at most for those who were answered last. */
const GATHER_TURNS = 3;
/** A round is waited for so many times as long as rounds take, between these bounds. */
const PATIENCE = 1.5;
const LEAST_PATIENCE_MS: Millis = 2;
const MOST_PATIENCE_MS: Millis = 50;
/** Weight of the last round in what rounds take, and in how many are waited for in vain. */
const LAST_SHARE = 1 / 8;
/** A disk is slow now and then; when more rounds than this are waited for in vain, waiting is not worth it. */
const MOST_IN_VAIN = 1 / 3;
/** How long nobody waits then; twice as long each further time, and a little less after each round that was not waited for in vain. */
const FIRST_REST_MS: Millis = 200;
const LONGEST_REST_MS: Millis = 60_000;
const REST_DECAY = 0.98;

/** The requests of one connection to one group, some of which write. */
export interface RoundMember {
  readonly group: GroupId;
  /** Their time has come. Those that write are told by `left`. */
  leave(): void;
}

/** What has left together. */
export interface WriteRound {
  readonly leftAtMs: Millis;
  /** Members that were there when it left. */
  readonly members: number;
  readonly groups: Set<GroupId>;
  unanswered: number;
}

export interface WriteRoundsParts {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly scheduler: Scheduler;
}

/** See the top of the file. */
export class WriteRounds {
  private readonly parts: WriteRoundsParts;
  private readonly crowd: CrowdGathering;
  /** Members under way, by group and together. */
  private readonly byGroup = new Map<GroupId, number>();
  private underWay = 0;
  /** Writes leave in rounds. */
  private isOn = false;
  private idleRounds = 0;
  /** The last round that left; while there are none, what leaves at any time. */
  private round: WriteRound;
  private waiting: RoundMember[] = [];
  /** What a round takes lately. */
  private usualMs: Millis = 0;
  /** Which share of rounds is waited for in vain lately. */
  private inVain = 0;
  private restsUntilMs: Millis = 0;
  private nextRestMs = FIRST_REST_MS;
  private isLooking = false;
  private cancel: Cancel | undefined;

  constructor(parts: WriteRoundsParts) {
    this.parts = parts;
    this.crowd = new CrowdGathering(GATHER_TURNS, () => parts.clock.monotonicMs());
    this.round = this.roundOf(0);
  }

  /** Members that wait for the next round. */
  get waitingCount(): number {
    return this.waiting.length;
  }

  /** Asked before writes of a member leave, while it does not wait. @returns true when they leave now; false: the member is told when */
  admits(member: RoundMember): boolean {
    if (!this.isOn && !this.areMany(member.group)) return true;
    this.isOn = true;
    this.waiting.push(member);
    // Whoever comes while the round before is waited for changes nothing.
    if (this.cancel === undefined || this.round.unanswered === 0) this.look();
    return false;
  }

  /** Writes of a member have left, and none of its earlier ones is unanswered. @returns what `answered` is to be called with */
  left(group: GroupId): WriteRound {
    const { round } = this;
    this.underWay++;
    this.byGroup.set(group, (this.byGroup.get(group) ?? 0) + 1);
    round.unanswered++;
    round.groups.add(group);
    return round;
  }

  /** No write of a member is unanswered any more. */
  answered(round: WriteRound, group: GroupId): void {
    this.underWay--;
    const left = this.byGroup.get(group)! - 1;
    if (left > 0) this.byGroup.set(group, left);
    else this.byGroup.delete(group);
    if (--round.unanswered === 0) this.ended(round);
  }

  private roundOf(members: number): WriteRound {
    return { leftAtMs: this.crowd.begin(), members, groups: new Set(), unanswered: 0 };
  }

  /** Whether many are under way, some of them to other groups. */
  private areMany(group: GroupId): boolean {
    return this.underWay >= LEAST_CROWD && this.underWay > (this.byGroup.get(group) ?? 0);
  }

  private ended(round: WriteRound): void {
    if (!this.isOn) return;
    // One that others did not wait for any more counts as well: all may have become slower.
    const tookMs = this.parts.clock.monotonicMs() - round.leftAtMs;
    if (round.members > 0) this.usualMs += (tookMs - this.usualMs) * (this.usualMs === 0 ? 1 : LAST_SHARE);
    if (round !== this.round) return;
    const waiting = this.waiting.length;
    // Those that are back wait; the others of the round are about to come.
    if (round.members > 0) this.crowd.settled(round.leftAtMs, Math.max(0, round.members - waiting), waiting);
    if (waiting === 0) return;
    this.waited(false);
    this.look();
  }

  private waited(inVain: boolean): void {
    this.inVain += (Number(inVain) - this.inVain) * LAST_SHARE;
    if (!inVain) this.nextRestMs = Math.max(FIRST_REST_MS, this.nextRestMs * REST_DECAY);
    if (this.inVain <= MOST_IN_VAIN) return;
    this.inVain = 0;
    this.restsUntilMs = this.parts.clock.monotonicMs() + this.nextRestMs;
    this.nextRestMs = Math.min(2 * this.nextRestMs, LONGEST_REST_MS);
  }

  private look(): void {
    this.cancel?.();
    this.cancel = undefined;
    if (this.isLooking) return;
    this.isLooking = true;
    this.awaitEndOfTurn();
  }

  private awaitEndOfTurn(): void {
    this.parts.scheduler.endOfTurn(() => this.endTurn());
  }

  private endTurn(): void {
    this.isLooking = false;
    const { clock, scheduler } = this.parts;
    const { round } = this;
    const count = this.waiting.length;
    if (count === 0) return;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.restsUntilMs) this.leave();
    else if (round.unanswered > 0 && round.members > 0) {
      const leftMs = round.leftAtMs + this.patienceMs - nowMs;
      if (leftMs > 0) this.waitFor(leftMs);
      else {
        this.waited(true);
        this.leave();
      }
    } else if (this.crowd.waitsFor(count)) {
      this.isLooking = true;
      scheduler.nextTurn(() => this.awaitEndOfTurn());
    } else {
      const patienceMs = this.crowd.patienceMs(count);
      if (patienceMs > 0) this.waitFor(patienceMs);
      else this.leave();
    }
  }

  /** How long a round is waited for. */
  private get patienceMs(): Millis {
    if (this.usualMs === 0) return MOST_PATIENCE_MS;
    return Math.min(MOST_PATIENCE_MS, Math.max(LEAST_PATIENCE_MS, PATIENCE * this.usualMs));
  }

  private waitFor(ms: Millis): void {
    this.cancel = this.parts.scheduler.after(ms, () => this.look());
  }

  private leave(): void {
    const members = this.waiting;
    this.waiting = [];
    const round = this.roundOf(members.length);
    this.round = round;
    // It does not end before all have left.
    round.unanswered++;
    for (const member of members) member.leave();
    this.idleRounds = round.groups.size > 1 && members.length >= LEAST_CROWD ? 0 : this.idleRounds + 1;
    if (this.idleRounds >= IDLE_ROUNDS && this.waiting.length === 0) this.end();
    if (--round.unanswered === 0) this.ended(round);
  }

  /** From here on writes leave when they come, until there are many again. */
  private end(): void {
    this.isOn = false;
    this.idleRounds = 0;
    this.round = this.roundOf(0);
  }
}
