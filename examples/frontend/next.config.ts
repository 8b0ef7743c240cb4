import type { NextConfig } from "next";
import { PHASE_PRODUCTION_SERVER } from "next/constants";

const config: NextConfig = {
  allowedDevOrigins: ["127.0.0.1"], // or the page stays dead there, and can't say why signing in is refused
  devIndicators: false, // they would cover the footer of a narrow window
  headers: async () => [
    { source: "/:path*", headers: [{ key: "Content-Security-Policy", value: "frame-ancestors 'none'" }] },
  ],
};

export default function configure(phase: string): NextConfig {
  if (phase !== PHASE_PRODUCTION_SERVER && !process.env.NEXT_PUBLIC_API_URL) {
    throw new Error("Set NEXT_PUBLIC_API_URL, the address of the task API: it becomes part of the page.");
  }
  return config;
}
