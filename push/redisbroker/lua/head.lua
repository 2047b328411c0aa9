return state()
