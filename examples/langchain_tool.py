"""A LangChain agent that draws with your LoRAs. Set MODEL to any chat model with tools, e.g. openai:gpt-5-mini."""

import os

from langchain.agents import create_agent

from stylus_gen import Stylus
from stylus_gen.doors.langchain import stylus_tool

with Stylus() as stylus:
    agent = create_agent(os.environ["MODEL"], tools=[stylus_tool(stylus)])
    answer = agent.invoke({"messages": [{"role": "user", "content": "Draw me a penguin, glossy 3D style."}]})
    print(answer["messages"][-1].text)
