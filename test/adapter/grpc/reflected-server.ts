/** A server as tools such as grpcurl see it: they know nothing but the reflection protocol, and learn the rest from it. */
import grpc from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer, loadSync, type PackageDefinition } from '@grpc/proto-loader';

interface ReflectionReply {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
}

/** Length-delimited field 1, as a file in a set of files is. */
function fileField(file: Buffer): Buffer {
  const head = [0x0a];
  for (let left = file.length; ; left >>>= 7) {
    head.push(left < 0x80 ? left : (left & 0x7f) | 0x80);
    if (left < 0x80) break;
  }
  return Buffer.concat([Buffer.from(head), file]);
}

export class ReflectedServer {
  readonly services: readonly string[];
  private readonly address: string;
  private readonly definitions: PackageDefinition;
  private readonly client: grpc.Client;

  private constructor(address: string, services: readonly string[], definitions: PackageDefinition) {
    this.address = address;
    this.services = services;
    this.definitions = definitions;
    this.client = new grpc.Client(this.address, grpc.credentials.createInsecure());
  }

  /** Asks what the server serves, and for the files that declare it. */
  static async connect(address: string): Promise<ReflectedServer> {
    const proto = 'proto/grpc/reflection/v1/reflection.proto';
    const path = new URL(import.meta.resolve('@grpc/reflection')).pathname.replace(/src\/index\.js$/, proto);
    const loaded = grpc.loadPackageDefinition(loadSync(path)) as unknown as {
      grpc: { reflection: { v1: { ServerReflection: grpc.ServiceClientConstructor } } };
    };
    const client = new loaded.grpc.reflection.v1.ServerReflection(address, grpc.credentials.createInsecure());
    const stream = (client.ServerReflectionInfo as unknown as () => grpc.ClientDuplexStream<object, object>).call(
      client,
    );
    const replies = stream[Symbol.asyncIterator]() as AsyncIterator<ReflectionReply>;
    const ask = async (question: object): Promise<ReflectionReply> => {
      stream.write(question);
      return (await replies.next()).value as ReflectionReply;
    };
    const listed = await ask({ listServices: '' });
    const services = listed.listServicesResponse!.service.map(({ name }) => name);
    const files = new Map<string, Buffer>();
    for (const fileContainingSymbol of services) {
      const { fileDescriptorResponse } = await ask({ fileContainingSymbol });
      for (const file of fileDescriptorResponse!.fileDescriptorProto) files.set(file.toString('latin1'), file);
    }
    stream.end();
    client.close();
    const set = Buffer.concat([...files.values()].map(fileField));
    const definitions = loadFileDescriptorSetFromBuffer(set, { longs: Number, enums: String });
    return new ReflectedServer(address, services, definitions);
  }

  /** One call of a method of which only the name is known. */
  call(service: string, method: string, request: object): Promise<object> {
    const definition = (this.definitions[service] as grpc.ServiceDefinition)[method]!;
    const { path, requestSerialize, responseDeserialize } = definition;
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, reply) => {
        if (error === null) resolve(reply as object);
        else reject(error);
      });
    });
  }

  close(): void {
    this.client.close();
  }
}
