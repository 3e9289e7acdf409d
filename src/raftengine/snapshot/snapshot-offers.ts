/**
 * Snapshots that were cut and can be sent. Cutting reads the whole state, so a cut serves every peer that needs one now, and
 * stays for a while after a transfer failed: the next attempt then sends only what the peer lacks. The log is held from the
 * cut's index on for as long as the cut is.
 */
import type { Cancel, NodeId, Scheduler } from '../../platform/index.ts';
import type { EngineLimits, SnapshotReader } from '../contract/index.ts';
import type { Replica } from '../replica/index.ts';

/** A cut in use. */
export interface Offer {
  readonly reader: SnapshotReader;
  /** Every user calls it once. @param keep the cut may be wanted again soon */
  release(keep: boolean): void;
}

interface Cut {
  readonly reader: SnapshotReader;
  users: number;
  cancelExpiry: Cancel | undefined;
}

/** See the top of the file. */
export class SnapshotOffers {
  private readonly self: NodeId;
  private readonly scheduler: Scheduler;
  private readonly limits: EngineLimits;
  /** The newest cut of each replica. */
  private readonly cuts = new Map<Replica, Cut>();
  /** Being cut. */
  private readonly cutting = new Map<Replica, Promise<Cut>>();
  private readonly closing = new Set<Promise<void>>();

  constructor(self: NodeId, scheduler: Scheduler, limits: EngineLimits) {
    this.self = self;
    this.scheduler = scheduler;
    this.limits = limits;
  }

  /** A cut that the replica's log goes on from; the caller holds the log meanwhile. */
  async open(replica: Replica): Promise<Offer> {
    const known = this.cuts.get(replica);
    const isUsable = known !== undefined && known.reader.meta.index + 1 >= replica.firstIndex;
    const cut = isUsable ? known : await this.cutNow(replica);
    cut.users += 1;
    cut.cancelExpiry?.();
    cut.cancelExpiry = undefined;
    let isReleased = false;
    return {
      reader: cut.reader,
      release: (keep) => {
        if (isReleased) return;
        isReleased = true;
        this.released(replica, cut, keep);
      },
    };
  }

  private cutNow(replica: Replica): Promise<Cut> {
    const running = this.cutting.get(replica);
    if (running !== undefined) return running;
    const cutting = replica.stateMachine
      .openSnapshot(replica.groupId)
      .then((reader): Cut => {
        const older = this.cuts.get(replica);
        const cut: Cut = { reader, users: 0, cancelExpiry: undefined };
        this.cuts.set(replica, cut);
        replica.pin(this.self, reader.meta.index);
        if (older !== undefined && older.users === 0) this.close(older);
        return cut;
      })
      .finally(() => this.cutting.delete(replica));
    this.cutting.set(replica, cutting);
    return cutting;
  }

  private released(replica: Replica, cut: Cut, keep: boolean): void {
    cut.users -= 1;
    if (cut.users > 0) return;
    const isNewest = this.cuts.get(replica) === cut;
    if (isNewest && keep && !replica.isClosed) {
      cut.cancelExpiry = this.scheduler.after(this.limits.snapshotKeepMs, () => this.forget(replica, cut));
    } else if (isNewest) this.forget(replica, cut);
    else this.close(cut);
  }

  private forget(replica: Replica, cut: Cut): void {
    this.cuts.delete(replica);
    replica.unpin(this.self);
    this.close(cut);
  }

  private close(cut: Cut): void {
    cut.cancelExpiry?.();
    const closing = cut.reader
      .close()
      // Files that cannot be deleted now are deleted at the next start.
      .catch(() => {})
      .finally(() => this.closing.delete(closing));
    this.closing.add(closing);
  }

  /** The replica is gone. */
  dropped(replica: Replica): void {
    const cut = this.cuts.get(replica);
    if (cut !== undefined && cut.users === 0) this.forget(replica, cut);
  }

  /** Gives everything back that nobody uses. */
  async stop(): Promise<void> {
    for (const [replica, cut] of this.cuts) if (cut.users === 0) this.forget(replica, cut);
    await Promise.allSettled(this.closing);
  }
}
