/**
 * Objects in memory that fail on request: refused, unavailable, full, slow; and the two things that no interface admits, answers that get
 * lost though the write was done, and writes that are acknowledged and not kept, kept in part or kept with a bit turned over.
 */
import { type Millis, type Random, type Scheduler, sleep } from '../../platform/index.ts';
import {
  type ObjectEntry,
  ObjectMissingError,
  type ObjectStore,
  ObjectStoreFullError,
  ObjectStoreRefusedError,
  ObjectStoreUnavailableError,
  type PutOptions,
} from './object-store.ts';

/** What is done with a store. */
export type ObjectOperation = 'put' | 'get' | 'list' | 'remove';

/** What goes wrong with one operation; undefined: nothing. `lost`: it is done, and the answer does not come. The last three are of writes. */
export type ObjectFault = 'refused' | 'unavailable' | 'lost' | 'dropped' | 'torn' | 'flipped';

/** See the top of the file. */
export class SimulatedObjects implements ObjectStore {
  readonly place = 'memory://simulated';
  /** What is kept, for tests that look or do damage. */
  readonly objects = new Map<string, Buffer>();
  /** Asked before each operation; what it throws ends the operation before anything is done. */
  fault: (operation: ObjectOperation, name: string) => ObjectFault | undefined = () => undefined;
  /** More than this is not taken. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Longest time of an operation. */
  slowMs: Millis = 0;
  private readonly scheduler: Scheduler;
  private readonly random: Random;

  constructor(scheduler: Scheduler, random: Random) {
    this.scheduler = scheduler;
    this.random = random;
  }

  async put(name: string, content: Buffer, { ifAbsent = false, signal }: PutOptions = {}): Promise<boolean> {
    const fault = await this.begin('put', name, signal);
    if (ifAbsent && this.objects.has(name)) {
      if (fault === 'lost') throw this.unavailable(name);
      return false;
    }
    this.store(name, content, fault);
    return true;
  }

  async putLarge(name: string, pieces: AsyncIterable<Buffer>, signal?: AbortSignal): Promise<number> {
    const fault = await this.begin('put', name, signal);
    const taken: Buffer[] = [];
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      taken.push(Buffer.from(piece));
    }
    const content = Buffer.concat(taken);
    this.store(name, content, fault);
    return content.length;
  }

  async get(name: string, start: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const fault = await this.begin('get', name, signal);
    const content = this.objects.get(name);
    if (content === undefined) throw new ObjectMissingError(`there is no ${name} in ${this.place}`);
    const found = Buffer.from(content.subarray(start, start + length));
    if (fault === 'lost') throw this.unavailable(name);
    if (fault === 'flipped' && found.length > 0) found[this.random.int(found.length)]! ^= 1 << this.random.int(8);
    return fault === 'torn' ? found.subarray(0, found.length >> 1) : found;
  }

  async *list(prefix: string): AsyncGenerator<ObjectEntry> {
    await this.begin('list', prefix, undefined);
    const names = [...this.objects.keys()].filter((name) => name.startsWith(prefix)).sort();
    for (const name of names) {
      const bytes = this.objects.get(name)?.length;
      if (bytes !== undefined) yield { name, bytes };
    }
  }

  async remove(name: string): Promise<void> {
    const fault = await this.begin('remove', name, undefined);
    if (fault !== 'dropped') this.objects.delete(name);
    if (fault === 'lost') throw this.unavailable(name);
  }

  async close(): Promise<void> {}

  private async begin(
    operation: ObjectOperation,
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<ObjectFault | undefined> {
    signal?.throwIfAborted();
    const fault = this.fault(operation, name);
    if (this.slowMs > 0) await sleep(this.scheduler, this.random.next() * this.slowMs, signal);
    signal?.throwIfAborted();
    if (fault === 'refused') throw new ObjectStoreRefusedError(`${this.place} lets nobody in`);
    if (fault === 'unavailable') throw this.unavailable(name);
    return fault;
  }

  private store(name: string, content: Buffer, fault: ObjectFault | undefined): void {
    const others = [...this.objects].reduce((sum, [key, { length }]) => sum + (key === name ? 0 : length), 0);
    if (others + content.length > this.capacityBytes) {
      throw new ObjectStoreFullError(`${this.place} has no room for ${name}`);
    }
    if (fault !== 'dropped') {
      const kept = Buffer.from(fault === 'torn' ? content.subarray(0, content.length >> 1) : content);
      if (fault === 'flipped' && kept.length > 0) kept[this.random.int(kept.length)]! ^= 1 << this.random.int(8);
      this.objects.set(name, kept);
    }
    if (fault === 'lost') throw this.unavailable(name);
  }

  private unavailable(name: string): ObjectStoreUnavailableError {
    return new ObjectStoreUnavailableError(`${this.place} did not answer for ${name}`);
  }
}
