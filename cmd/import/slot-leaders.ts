/** Which node leads which slot, so that commands go where they are carried out. It is a hint: every node takes every command, and passes it on. */
import { slotOf } from '../../src/adapter/redis/index.ts';
import { Lane, type LinkTarget, ServerError, type Upstream } from '../redis/index.ts';

const SLOTS = 16_384;
const UNKNOWN = -1;

export class SlotLeaders {
  /** Places in the list of servers. */
  private readonly places = new Int16Array(SLOTS).fill(UNKNOWN);

  /** Asks any of the servers; knows nothing when none answers, or these are other addresses than the cluster's own. */
  static async ask(upstream: Upstream): Promise<SlotLeaders> {
    const leaders = new SlotLeaders();
    const lane = new Lane(upstream, 0);
    try {
      const [answer] = await lane.send(0, [['CLUSTER', 'SLOTS']]);
      if (!(answer instanceof ServerError)) leaders.learn(answer as readonly SlotRange[], upstream.targets);
    } catch {
      // Whoever writes hears of it.
    } finally {
      lane.close();
    }
    return leaders;
  }

  /** @returns the place of the leader in the list of servers; undefined when it is not among them */
  placeOf(key: Buffer): number | undefined {
    const place = this.places[slotOf(key)]!;
    return place === UNKNOWN ? undefined : place;
  }

  private learn(ranges: readonly SlotRange[], targets: readonly LinkTarget[]): void {
    const names = targets.map(({ host, port }) => `${host}:${port}`);
    for (const [first, last, [host, port]] of ranges)
      this.places.fill(names.indexOf(`${host}:${port}`), first, last + 1);
  }
}

/** First slot, last one, host and port of the leader. */
type SlotRange = readonly [number, number, readonly [Buffer, number]];
