/** A write-ahead log on one simulated machine. */
import { nodeId, SimFabric, SimMachine, Simulation } from '../../../src/platform/index.ts';
import { NodeRecord } from '../../../src/raftengine/founding/node-record.ts';
import { type LogEncryption, WalLogStore, type WalLogStoreOptions } from '../../../src/raftengine/log/wal-log-store.ts';

/** The data folder. */
export const NODE = '/node';
export const FOLDER = `${NODE}/log`;
export const INCARNATION = '00112233445566778899aabbccddeeff';
const LIMITS = { segmentBytes: 16384, cacheBytes: 2000, maxFrameBytes: 4096, keepSegments: 2 };

/** See the top of the file. */
export class WalBench {
  readonly simulation: Simulation;
  readonly machine: SimMachine;
  private readonly encryption: ((bench: WalBench) => LogEncryption) | undefined;

  /** @param encryption made anew for every process that opens the log */
  constructor(seed: number, encryption?: (bench: WalBench) => LogEncryption) {
    this.encryption = encryption;
    this.simulation = new Simulation({ seed });
    this.machine = new SimMachine(new SimFabric(this.simulation), nodeId(1));
  }

  open(limits: Partial<WalLogStoreOptions> = {}): Promise<WalLogStore> {
    return this.run(this.openNow(limits));
  }

  async openNow(limits: Partial<WalLogStoreOptions> = {}): Promise<WalLogStore> {
    const { disk, random } = this.machine;
    await disk.makeFolder(NODE);
    const record = await NodeRecord.open({ disk, folder: NODE, incarnation: INCARNATION });
    const encryption = this.encryption?.(this);
    return WalLogStore.open({ disk, folder: FOLDER, random, record, encryption, ...LIMITS, ...limits });
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.simulation.runToEnd(work);
  }

  async segments(): Promise<string[]> {
    const names = await this.run(this.machine.disk.list(FOLDER));
    return names.filter((name) => name.endsWith('.wal'));
  }
}
