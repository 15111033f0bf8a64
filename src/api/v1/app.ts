/** The application that the routes are added to. */
import type { OpenAPIHono } from '@hono/zod-openapi';

/** What comes with a request beside itself. */
export interface RequestBindings {
  /** Takes time limits from the connection. */
  readonly lift?: (() => void) | undefined;
}

export type V1App = OpenAPIHono<{ Bindings: RequestBindings }>;
