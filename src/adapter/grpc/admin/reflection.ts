/**
 * Server reflection, which tells tools such as grpcurl what there is. It is put together when the first of them asks: the descriptors take a tenth of
 * the processor time of a start, in one turn, while the others wait for this node.
 */
import { EventEmitter } from 'node:events';
import type grpc from '@grpc/grpc-js';
import { assert } from '../../../platform/index.ts';
import { loadPackage } from '../definition.ts';
import { statusOf } from '../errors.ts';

type ServiceServer = Pick<grpc.Server, 'addService'>;
type Handler = grpc.handleBidiStreamingCall<object, object>;

const SERVICES = ['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];
const METHOD = 'ServerReflectionInfo';

const asBytes = (bytes: Buffer): Buffer => bytes;

/** One version of the protocol. */
interface Reflection {
  readonly method: grpc.MethodDefinition<object, object>;
  readonly handle: Handler;
}

/** Adds both versions of the protocol. */
export function addReflection(server: ServiceServer): void {
  let loaded: Promise<ReadonlyMap<string, Reflection>> | undefined;
  for (const service of SERVICES) {
    const path = `/${service}/${METHOD}`;
    const serve = (call: grpc.ServerDuplexStream<Buffer, Buffer>): void => {
      loaded ??= loadReflection();
      loaded.then(
        (versions) => {
          const version = versions.get(path);
          assert(version !== undefined, `${path} is one of the services of the reflection`);
          connect(call, version);
        },
        (error: unknown) => call.emit('error', statusOf(error)),
      );
    };
    server.addService(
      {
        [METHOD]: {
          path,
          requestStream: true,
          responseStream: true,
          requestSerialize: asBytes,
          requestDeserialize: asBytes,
          responseSerialize: asBytes,
          responseDeserialize: asBytes,
        },
      },
      { [METHOD]: serve },
    );
  }
}

/** @returns what would have been added to a server, by path */
async function loadReflection(): Promise<ReadonlyMap<string, Reflection>> {
  const { ReflectionService } = await import('@grpc/reflection');
  const versions = new Map<string, Reflection>();
  const recorder: ServiceServer = {
    addService(definition, handlers) {
      const method = definition[METHOD] as grpc.MethodDefinition<object, object>;
      versions.set(method.path, { method, handle: handlers[METHOD] as Handler });
    },
  };
  new ReflectionService(loadPackage()).addToServer(recorder);
  return versions;
}

/** Gives a call whose messages are bytes to a handler that knows them by their fields: it listens, writes and ends, and no more. */
function connect(call: grpc.ServerDuplexStream<Buffer, Buffer>, { method, handle }: Reflection): void {
  const typed = Object.assign(new EventEmitter(), {
    write: (reply: object) => call.write(method.responseSerialize(reply)),
    end: () => call.end(),
  });
  handle(typed as unknown as grpc.ServerDuplexStream<object, object>);
  call.on('data', (bytes: Buffer) => {
    try {
      typed.emit('data', method.requestDeserialize(bytes));
    } catch (error) {
      call.emit('error', statusOf(error));
    }
  });
  call.on('end', () => typed.emit('end'));
}
