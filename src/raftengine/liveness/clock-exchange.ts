/**
 * Nodes tell each other with every beat what their wall clocks show, and how long ago which beat of the other one came, so
 * that whoever gets it knows how long both were under way: the round trip is what is uncertain, and half of it is the
 * bound of the error, however unequal the two ways were (RFC 5905 §8, without a daemon).
 */
import type { Millis, NodeId, Random } from '../../platform/index.ts';

/** What one beat says of time; `sentAtMs` and the echo mean something only to whoever wrote them. */
export interface ClockStamp {
  /** The sender's clock is off: it leads only when nobody else can. */
  readonly isOff: boolean;
  readonly sentAtMs: Millis;
  /** The sender's wall clock, as it is. */
  readonly wallMs: Millis;
  /** What it would show had it gone on evenly since it last agreed with the others; undefined when it never did. */
  readonly heldMs: Millis | undefined;
  /** The newest stamp of the receiver that has come to the sender, and since how long it is there. */
  readonly echo: { readonly sentAtMs: Millis; readonly keptMs: Millis } | undefined;
}

/** A peer's clocks when its beat came, as milliseconds that they lead this node's `bootMs` by. */
export interface PeerReading {
  readonly wallOffsetMs: Millis;
  readonly heldOffsetMs: Millis | undefined;
  /** Both are right within this. */
  readonly errorMs: Millis;
  readonly isOff: boolean;
}

/** Whoever compares the clocks of the nodes. */
export interface PeerClocks {
  /** What readings are counted from: the monotonic clock and the time that the machine slept, whatever becomes of the wall clock. */
  bootMs(): Millis;
  /** This node's own, for its peers. */
  reading(): Pick<ClockStamp, 'isOff' | 'wallMs' | 'heldMs'>;
  /** This node shares a group with `peer`, whose clock will be heard of while it lives. */
  expect(peer: NodeId): void;
  heard(peer: NodeId, reading: PeerReading): void;
  /** False: this node stands for election later than others, and takes no leadership that is handed to it. */
  readonly mayLead: boolean;
}

/** An echo that is older says nothing: it is of another life of this process, or of a beat that lay around somewhere. */
const MAX_ROUND_TRIP_MS: Millis = 30_000;
/** Stamps of two lives of a process are further apart than any round trip. */
const STAMP_SPREAD_MS = 2 ** 40;

/** See the top of the file. */
export class ClockExchange {
  private readonly clocks: PeerClocks;
  private readonly originMs: Millis;
  /** The newest stamp of each peer, and when it came. */
  private readonly newest = new Map<NodeId, { readonly sentAtMs: Millis; readonly heardMs: Millis }>();

  constructor(clocks: PeerClocks, random: Random) {
    this.clocks = clocks;
    this.originMs = Math.floor(random.next() * STAMP_SPREAD_MS);
  }

  /** What goes to `peer` with the next beat. */
  stamp(peer: NodeId): ClockStamp {
    const nowMs = this.clocks.bootMs();
    const newest = this.newest.get(peer);
    const echo = newest === undefined ? undefined : { sentAtMs: newest.sentAtMs, keptMs: nowMs - newest.heardMs };
    return { ...this.clocks.reading(), sentAtMs: this.originMs + nowMs, echo };
  }

  /** A beat of `peer` came. */
  heard(peer: NodeId, { isOff, sentAtMs, wallMs, heldMs, echo }: ClockStamp): void {
    const nowMs = this.clocks.bootMs();
    this.newest.set(peer, { sentAtMs, heardMs: nowMs });
    if (echo === undefined) return;
    const roundTripMs = this.originMs + nowMs - echo.sentAtMs - echo.keptMs;
    if (!(roundTripMs >= 0 && roundTripMs <= MAX_ROUND_TRIP_MS)) return;
    const errorMs = roundTripMs / 2;
    const sinceMs = errorMs - nowMs;
    this.clocks.heard(peer, {
      wallOffsetMs: wallMs + sinceMs,
      heldOffsetMs: heldMs === undefined ? undefined : heldMs + sinceMs,
      errorMs,
      isOff,
    });
  }
}
