/** The header in which a call carries a token, for those that call and those that are called. */
import grpc from '@grpc/grpc-js';

/** RFC 6750 §2.1. */
const HEADER = 'authorization';
const FORM = /^Bearer (\S+)$/i;

/** Options of a client whose every call shows the token. @param token asked for at each call; undefined: there is none */
export function tokenOptions(token: (() => string) | undefined): grpc.ClientOptions {
  if (token === undefined) return {};
  const showToken: grpc.Interceptor = (options, next) =>
    new grpc.InterceptingCall(next(options), {
      start(metadata, listener, start) {
        metadata.set(HEADER, `Bearer ${token()}`);
        start(metadata, listener);
      },
    });
  return { interceptors: [showToken] };
}

/** The token that a call shows; undefined when it shows none. */
export function tokenOfCall(metadata: grpc.Metadata): string | undefined {
  return FORM.exec(String(metadata.get(HEADER)[0] ?? ''))?.[1];
}
