/**
 * What a node must never forget and what is in no log: how far its own log once went, and which data folders of other
 * nodes it has met. Without the first, a log folder that is gone would pass for a new one; without the second, a node that
 * lost its disk would pass for the member that it was. One small file beside the log, replaced as a whole; it is written
 * when a segment is made and when another node is met, so a handful of times an hour.
 *
 *   <data folder>/record.json
 *   { format, incarnation, newestSegment, installs: { <group>: index }, acceptedBy: [<id>],
 *     peers: { <id>: { incarnation, isConfirmed, removed } }, isEncrypted (true, or left out), crc }
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  type Disk,
  type GroupId,
  type LogIndex,
  type NodeId,
  nodeId,
  readWholeFile,
  replaceWholeFile,
} from '../../platform/index.ts';
import { DataFolderCorruptError, DataFolderMismatchError } from '../errors.ts';
import type { InstallMarks } from './starting-point.ts';

/** What is known of the data folders of one other node. */
export interface PeerLives {
  /** The one that is listened to; undefined while none has been met since the last one was removed. */
  readonly incarnation: string | undefined;
  /** The catalog names it. What was only met may be a stranger that came first. */
  readonly isConfirmed: boolean;
  /** Those that were removed from the cluster for good. */
  readonly removed: readonly string[];
}

interface StoredRecord {
  readonly format: number;
  /** Of the data folder that the record is of. */
  readonly incarnation: string;
  readonly newestSegment: number;
  readonly installs: { readonly [group: string]: LogIndex };
  readonly acceptedBy: readonly NodeId[];
  readonly peers: { readonly [id: string]: PeerLives };
  /** The folder has keys of its own; one that never had does not say so, as records did before there were any. */
  readonly isEncrypted?: true;
}

const FILE = 'record.json';
const FORMAT = 1;
/** The same, of a folder whose log may have segments that release 0.1.0 does not know. */
const LATER_FORMAT = 2;
/** What stores are called beside the log: a folder with one of them is not new. */
const STORE_NAME = /^group-\d+/;

/** Where a record is, and whose. */
export interface NodeRecordOptions {
  readonly disk: Disk;
  /** The data folder. */
  readonly folder: string;
  /** Of the data folder. */
  readonly incarnation: string;
}

/** True when a log or a store lies in a data folder: then it belonged to somebody before. */
export async function holdsData(disk: Disk, folder: string): Promise<boolean> {
  if ((await disk.list(folder)).some((name) => STORE_NAME.test(name))) return true;
  return (await disk.list(join(folder, 'log'))).length > 0;
}

/** See the top of the file. */
export class NodeRecord {
  private readonly options: NodeRecordOptions;
  private stored: StoredRecord;
  /** The newest segment as far as it is stable. */
  private stableSegment: number;
  private stableFormat: number;
  /** Who listens to this folder, as far as it is stable that they do. */
  private stableAcceptances: readonly NodeId[];
  /** Replacements of the file, one after another. */
  private written: Promise<void> = Promise.resolve();

  private constructor(options: NodeRecordOptions, stored: StoredRecord) {
    this.options = options;
    this.stored = stored;
    this.stableSegment = stored.newestSegment;
    this.stableFormat = stored.format;
    this.stableAcceptances = stored.acceptedBy;
  }

  /** True when a data folder has a record, whatever is in it. */
  static async exists(disk: Disk, folder: string): Promise<boolean> {
    return (await disk.list(folder)).includes(FILE);
  }

  /**
   * Reads the record of a data folder, or makes it while nothing else is there.
   * @throws DataFolderCorruptError when it cannot be what was written, or is gone while data is there
   * @throws DataFolderMismatchError when it is that of another folder
   */
  static async open(options: NodeRecordOptions): Promise<NodeRecord> {
    const { disk, folder, incarnation } = options;
    const text = (await readWholeFile(disk, join(folder, FILE)))?.toString();
    if (text === undefined) {
      if (await holdsData(disk, folder)) {
        const what = 'is gone, or was never made because an older version of kvorum made the folder';
        throw new DataFolderCorruptError(join(folder, FILE), what);
      }
      const record = new NodeRecord(options, {
        format: FORMAT,
        incarnation,
        newestSegment: 0,
        installs: {},
        acceptedBy: [],
        peers: {},
      });
      await record.change({});
      return record;
    }
    const stored = parseRecord(text, join(folder, FILE));
    if (stored.format !== FORMAT && stored.format !== LATER_FORMAT) {
      throw new DataFolderMismatchError(
        folder,
        `has a record of format ${stored.format}, which this version of kvorum does not know`,
      );
    }
    if (stored.incarnation !== incarnation) {
      throw new DataFolderMismatchError(folder, `holds the ${FILE} of another data folder`);
    }
    const record = new NodeRecord(options, stored);
    // It may be there in the page cache only: whoever wrote it may have died, or met an error, before it was stable.
    await record.change({});
    return record;
  }

  /** Of the data folder; every segment of its log bears it. */
  get incarnation(): string {
    return this.options.incarnation;
  }

  /** The log once had a segment of this number, and none that is newer held anything; 0 while there never was a log. */
  get newestSegment(): number {
    return this.stored.newestSegment;
  }

  /** Keys were made for the folder: without them it is not whole. */
  get isEncrypted(): boolean {
    return this.stored.isEncrypted === true;
  }

  /** Settles when it is stable that the folder has keys. */
  async noteEncryption(): Promise<void> {
    if (!this.isEncrypted) await this.change({ isEncrypted: true });
  }

  /** Settles when it is stable that release 0.1.0 refuses the folder. */
  async noteLaterForms(): Promise<void> {
    if (this.stableFormat === LATER_FORMAT) return;
    await this.change({ format: LATER_FORMAT });
    this.stableFormat = LATER_FORMAT;
  }

  /** Settles when it is stable that the log goes up to a segment. */
  async noteSegment(sequence: number): Promise<void> {
    if (sequence <= this.stableSegment) return;
    await this.change({ newestSegment: Math.max(sequence, this.stored.newestSegment) });
    this.stableSegment = Math.max(sequence, this.stableSegment);
  }

  /** Snapshots that are being installed. @param onError hears of what could not be written; the next change writes it again */
  installs(onError: (error: unknown) => void): InstallMarks {
    const change = (group: GroupId, index: LogIndex | undefined): Promise<void> => {
      const { [group]: _, ...others } = this.stored.installs;
      return this.change({ installs: index === undefined ? others : { ...others, [group]: index } });
    };
    return {
      begin: change,
      end: (group) => {
        if (this.stored.installs[group] !== undefined) change(group, undefined).catch(onError);
      },
      of: (group) => this.stored.installs[group],
    };
  }

  /** Nodes that listen to this data folder, and so to no other one under this node's id, as far as that is stable. */
  get acceptedBy(): readonly NodeId[] {
    return this.stableAcceptances;
  }

  /** Settles when it is stable that a node listens to this data folder. */
  async noteAcceptance(peer: NodeId): Promise<void> {
    if (this.stableAcceptances.includes(peer)) return;
    const acceptedBy = [...new Set([...this.stored.acceptedBy, peer])];
    await this.change({ acceptedBy });
    this.stableAcceptances = [...new Set([...this.stableAcceptances, peer])];
  }

  /** What is known of a node. */
  peer(peer: NodeId): PeerLives | undefined {
    return this.stored.peers[peer];
  }

  /** Nodes that something is known of. */
  peers(): NodeId[] {
    return Object.keys(this.stored.peers).map((id) => nodeId(Number(id)));
  }

  /** Visible at once; settles when it is stable. */
  setPeer(peer: NodeId, lives: PeerLives): Promise<void> {
    return this.change({ peers: { ...this.stored.peers, [peer]: lives } });
  }

  private change(change: Partial<StoredRecord>): Promise<void> {
    this.stored = { ...this.stored, ...change };
    const text = sealRecord(this.stored);
    const { disk, folder } = this.options;
    const written = this.written.then(() => replaceWholeFile(disk, join(folder, FILE), Buffer.from(text)));
    this.written = written.catch(() => {});
    return written;
  }
}

const sealRecord = (record: StoredRecord): string => JSON.stringify({ ...record, crc: crc32(JSON.stringify(record)) });

/** @throws DataFolderCorruptError */
function parseRecord(text: string, path: string): StoredRecord {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new DataFolderCorruptError(path, 'is damaged', error);
  }
  const { crc, ...rest } = (parsed ?? {}) as StoredRecord & { readonly crc?: number };
  if (crc !== crc32(JSON.stringify(rest))) throw new DataFolderCorruptError(path, 'is not what was written');
  return rest;
}
