/**
 * The folder that holds everything a node owns. It belongs to one process at a time and to one node of one cluster for
 * life. Both are kept by a tiny LevelDB database in it: its lock file is an fcntl lock, which the operating system gives
 * back when the process dies however it dies, and its only row is the node's identity, written once. What changes is in the
 * `NodeRecord` beside it.
 */
import { join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { ClassicLevel } from 'classic-level';
import { type NodeId, nodeId, type Random, SystemDisk } from '../../platform/index.ts';
import { DataFolderCorruptError, DataFolderLockedError, DataFolderMismatchError } from '../errors.ts';
import { holdsData, NodeRecord } from './node-record.ts';

/** Who a data folder belongs to. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  /** 16 random bytes as hex, drawn when the folder was made: a node that lost its folder comes back as another one. */
  readonly incarnation: string;
  readonly clusterName: string;
  /** The node came to a cluster that ran already: it founds nothing, now or ever. Decided when the folder is made. */
  readonly joined: boolean;
}

export interface DataFolderOptions {
  readonly folder: string;
  readonly nodeId: NodeId;
  readonly clusterName: string;
  /** Source of the incarnation of a new folder. */
  readonly random: Random;
  /** What a new folder begins as; one that exists knows it better. */
  readonly joins: boolean;
}

export interface DataFolder {
  readonly identity: NodeIdentity;
  /** Absolute path. */
  readonly path: string;
  /** What the node must not forget. */
  readonly record: NodeRecord;
  /** Gives the lock back. */
  close(): Promise<void>;
}

const IDENTITY_FOLDER = 'identity';
const IDENTITY_KEY = 'node';
const FORMAT = 1;
const INCARNATION_BYTES = 16;
/** Of rows without a checksum: a damaged name would be an unknown one. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set(['format', 'nodeId', 'incarnation', 'clusterName', 'joined']);

/**
 * Takes a data folder for this process, making it when it is absent or empty.
 * @throws DataFolderLockedError while another process (or another call in this one) has it
 * @throws DataFolderMismatchError when it belongs to another node or cluster
 * @throws DataFolderCorruptError when something is damaged or gone that a folder in use has
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const path = resolve(options.folder);
  const disk = new SystemDisk();
  // Its name is stable before anything in it is: LevelDB syncs what it makes, not where it makes it.
  await disk.makeFolder(join(path, IDENTITY_FOLDER));
  const level = new ClassicLevel<string, string>(join(path, IDENTITY_FOLDER));
  try {
    await level.open();
  } catch (error) {
    const cause = (error as { cause?: { code?: unknown } }).cause;
    if (cause?.code === 'LEVEL_LOCKED') throw new DataFolderLockedError(path, error);
    if (await isInUse(disk, path))
      throw new DataFolderCorruptError(join(path, IDENTITY_FOLDER), 'cannot be opened', error);
    throw error;
  }
  try {
    const stored = await readIdentity(level, path, options.joins);
    if (stored === undefined && (await isInUse(disk, path)))
      throw new DataFolderCorruptError(join(path, IDENTITY_FOLDER), 'does not say any more whose data lies beside it');
    const identity = stored ?? (await writeIdentity(level, options));
    if (identity.nodeId !== options.nodeId)
      throw new DataFolderMismatchError(path, `belongs to node ${identity.nodeId}, not to node ${options.nodeId}`);
    if (identity.clusterName !== options.clusterName)
      throw new DataFolderMismatchError(
        path,
        `belongs to cluster "${identity.clusterName}", not to cluster "${options.clusterName}"`,
      );
    const record = await NodeRecord.open({ disk, folder: path, incarnation: identity.incarnation });
    return { identity, path, record, close: () => level.close() };
  } catch (error) {
    await level.close();
    throw error;
  }
}

/**
 * Whether a process has the data folder now. Changes nothing in it.
 * @returns false also when there is no such folder
 */
export async function isDataFolderInUse(folder: string): Promise<boolean> {
  const level = new ClassicLevel<string, string>(join(resolve(folder), IDENTITY_FOLDER), { createIfMissing: false });
  try {
    await level.open();
  } catch (error) {
    return (error as { cause?: { code?: unknown } }).cause?.code === 'LEVEL_LOCKED';
  }
  await level.close();
  return false;
}

/** @param joins for folders of a time when this was not written down */
async function readIdentity(
  level: ClassicLevel<string, string>,
  path: string,
  joins: boolean,
): Promise<NodeIdentity | undefined> {
  const place = join(path, IDENTITY_FOLDER);
  let row: string | undefined;
  try {
    row = await level.get(IDENTITY_KEY);
  } catch (error) {
    throw new DataFolderCorruptError(place, 'cannot be read', error);
  }
  if (row === undefined) return undefined;
  const stored = parseIdentity(row, place);
  if (stored.format !== FORMAT)
    throw new DataFolderMismatchError(path, `has format ${stored.format}, which this version of kvorum does not know`);
  const { incarnation, clusterName, joined = joins } = stored;
  return { nodeId: nodeId(stored.nodeId), incarnation, clusterName, joined };
}

interface StoredIdentity extends Omit<NodeIdentity, 'joined' | 'nodeId'> {
  readonly format: number;
  readonly nodeId: number;
  readonly joined?: boolean;
  /** CRC-32 of the row without this field; rows of earlier programs have none. */
  readonly crc?: number;
}

/** LevelDB does not verify its blocks, so the row proves itself. @throws DataFolderCorruptError */
function parseIdentity(row: string, path: string): StoredIdentity {
  let parsed: unknown;
  try {
    parsed = JSON.parse(row);
  } catch (error) {
    throw new DataFolderCorruptError(path, 'holds a damaged row', error);
  }
  if (typeof parsed !== 'object' || parsed === null) throw new DataFolderCorruptError(path, 'holds a damaged row');
  const { crc, ...rest } = parsed as StoredIdentity;
  const names = Object.keys(rest);
  const isWhole = ['format', 'nodeId', 'incarnation', 'clusterName'].every((name) => names.includes(name));
  const isIntact =
    crc === undefined ? !names.some((name) => !KNOWN_FIELDS.has(name)) : crc === crc32(JSON.stringify(rest));
  if (!isWhole || !isIntact) throw new DataFolderCorruptError(path, 'holds a row that is not what was written');
  return rest;
}

/** True when somebody owned the folder before. @param path of the data folder */
async function isInUse(disk: SystemDisk, path: string): Promise<boolean> {
  try {
    return (await NodeRecord.exists(disk, path)) || (await holdsData(disk, path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR')
      throw new DataFolderCorruptError(join(path, 'log'), 'is a file where the folder of the log belongs', error);
    throw error;
  }
}

async function writeIdentity(level: ClassicLevel<string, string>, options: DataFolderOptions): Promise<NodeIdentity> {
  const identity = {
    nodeId: options.nodeId,
    incarnation: options.random.bytes(INCARNATION_BYTES).toString('hex'),
    clusterName: options.clusterName,
    joined: options.joins,
  };
  const row = { format: FORMAT, ...identity };
  await level.put(IDENTITY_KEY, JSON.stringify({ ...row, crc: crc32(JSON.stringify(row)) }), { sync: true });
  return identity;
}
