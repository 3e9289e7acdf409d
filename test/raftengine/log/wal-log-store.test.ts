import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemDisk, SystemRandom } from '../../../src/platform/index.ts';
import { NodeRecord } from '../../../src/raftengine/founding/node-record.ts';
import { WalLogStore } from '../../../src/raftengine/log/wal-log-store.ts';
import { type LogStoreHome, logStoreContract } from '../../support/log-store-contract.ts';

const onMachine =
  (limits: { segmentBytes: number; cacheBytes: number; keepSegments?: number }) => async (): Promise<LogStoreHome> => {
    const folder = await mkdtemp(join(tmpdir(), 'kvorum-wal-'));
    const disk = new SystemDisk();
    return {
      open: async () => {
        const record = await NodeRecord.open({ disk, folder, incarnation: '0'.repeat(32) });
        return WalLogStore.open({ disk, folder: join(folder, 'log'), random: new SystemRandom(), record, ...limits });
      },
      dispose: () => rm(folder, { recursive: true }),
    };
  };

logStoreContract('write-ahead log on the machine', onMachine({ segmentBytes: 1 << 20, cacheBytes: 1 << 20 }));
logStoreContract(
  'write-ahead log on the machine, segments of 8 KiB and no cache',
  onMachine({ segmentBytes: 8192, cacheBytes: 0, keepSegments: 2 }),
);
