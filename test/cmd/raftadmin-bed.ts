/** raftadmin run in this process, against a cluster that exists only in words. */
import assert from 'node:assert/strict';
import grpc from '@grpc/grpc-js';
import { runRaftadmin, type Terminal } from '../../cmd/raftadmin/index.ts';
import { createAdminService } from '../../src/adapter/grpc/index.ts';
import { FakeBackend } from '../adapter/grpc/fake-backend.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line in this process. */
export async function run(
  args: readonly string[],
  terminal: Partial<
    Pick<Terminal, 'env' | 'isInteractive' | 'isScreen' | 'isErrorScreen' | 'interrupted' | 'ask'>
  > = {},
): Promise<Outcome> {
  let [out, err] = ['', ''];
  const code = await runRaftadmin(args, {
    env: {},
    isInteractive: false,
    isScreen: false,
    isErrorScreen: false,
    write: (text) => {
      out += text;
    },
    writeError: (text) => {
      err += text;
    },
    ask: async () => assert.fail('nobody is there to be asked'),
    interrupted: new AbortController().signal,
    ...terminal,
  });
  return { code, out, err };
}

/** A node that answers what its backend says. */
export class Node {
  backend = new FakeBackend();
  readonly server = new grpc.Server();
  endpoint = '';

  async start(): Promise<void> {
    const behind = new Proxy(this.backend, {
      get: (_, name) => {
        const { backend } = this;
        return Reflect.get(backend, name).bind(backend);
      },
    });
    createAdminService(behind, () => undefined).addTo(this.server);
    const port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    this.endpoint = `127.0.0.1:${port}`;
  }
}
